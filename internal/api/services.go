package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Service is the state of one variant of a running service.
type Service struct {
	Name      string     `json:"name"`
	Variant   string     `json:"variant"`
	Kind      string     `json:"kind" enum:"model,upstream,static" doc:"what answers"`
	Model     string     `json:"model,omitempty" doc:"the reference that a model's variant follows" example:"models:/installs@champion"`
	Dialect   string     `json:"dialect,omitempty" enum:"seldon,v2,v1,mlflow" doc:"the protocol that an upstream is asked in; none: requests are passed on as they are"`
	Static    string     `json:"static,omitempty" doc:"the folder whose files are the answers"`
	State     string     `json:"state" enum:"loading,ready,failed,degraded,unavailable,unloaded" doc:"degraded: it answers, but what a model's reference names now does not exist or could not be loaded, or some instances of an upstream get no requests; unavailable: no instance of an upstream may be asked, as far as is known; unloaded: a client of the data plane wants it so"`
	Version   int        `json:"version,omitempty" doc:"the registry's number of the version that answers"`
	Semver    string     `json:"semver,omitempty"`
	Digest    string     `json:"digest,omitempty" doc:"of a model's version; of an upstream or a folder, its version as tallies and decisions name it"`
	Error     string     `json:"error,omitempty" doc:"why it is not ready"`
	Instances []Instance `json:"instances,omitempty" doc:"of an upstream: the servers that stand in for each other"`

	ShadowInstances []Instance `json:"shadowInstances,omitempty" doc:"of an upstream that is a shadow: the same servers, as the copies of requests find them, which go over connections of their own"`
}

// Instance is what is known of one of an upstream's servers.
type Instance struct {
	Address     string    `json:"address" example:"http://127.0.0.1:8082"`
	State       string    `json:"state" enum:"healthy,unchecked,failing,ejected" doc:"unchecked: nothing speaks against it, and it has not answered yet; failing: it failed too often, or its health check says so; ejected: its answers were errors, or more often so than those of the others"`
	Why         string    `json:"why,omitempty" doc:"what speaks against it"`
	Since       time.Time `json:"since" doc:"from when on the state has held"`
	InFlight    int       `json:"inFlight" doc:"requests that it is answering"`
	Connections int       `json:"connections" doc:"open connections to it"`
	Requests    uint64    `json:"requests" doc:"that it was asked since it is one of the upstream's"`
	Failures    uint64    `json:"failures" doc:"how many of them it gave no answer to, or one that counts against it"`
}

// ServiceList is the answer of GET /api/v1/services.
type ServiceList struct {
	Version  string    `json:"version" doc:"of Serin"`
	Services []Service `json:"services"`
}

func (c *control) routeServices(h huma.API) {
	type output struct{ Body ServiceList }
	handle(h, huma.Operation{
		OperationID: "list-services", Method: http.MethodGet, Path: "/api/v1/services", Summary: "The running services and what answers for them",
	}, func(context.Context, *struct{}) (*output, error) {
		services := c.Services()
		if services == nil {
			services = []Service{}
		}
		return &output{ServiceList{c.Version, services}}, nil
	})
}

package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Service is the state of one variant of a running service.
type Service struct {
	Name    string `json:"name"`
	Variant string `json:"variant"`
	Model   string `json:"model" doc:"the reference it follows" example:"models:/installs@champion"`
	State   string `json:"state" enum:"loading,ready,failed,degraded,unloaded" doc:"unloaded: a client of the data plane wants it so; degraded: a version answers, but what the reference names now does not exist or could not be loaded"`
	Version int    `json:"version,omitempty" doc:"the registry's number of the version that answers"`
	Semver  string `json:"semver,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Error   string `json:"error,omitempty" doc:"why what the reference names is not live"`
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

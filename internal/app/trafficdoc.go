package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/traffic"
)

// The documents, their keys, and the version of their formats:
//
//	traffic/service/<service>                   trafficDoc
//	traffic/change/<service>/<policy version>   changeDoc; written once
//
// Numbers in keys have twenty digits, so that keys sort as numbers do.
const (
	trafficFormat = 1
	trafficPrefix = "traffic/service/"
)

func trafficKey(service string) string { return trafficPrefix + service }

func trafficChangeKey(service string, version uint64) string {
	return fmt.Sprintf("traffic/change/%s/%020d", service, version)
}

// trafficDoc is what is kept of the traffic of a service.
type trafficDoc struct {
	Format          int               `json:"format"`
	Service         string            `json:"service"`
	Epoch           uint32            `json:"assignmentEpoch"` // from 1
	PolicyVersion   uint64            `json:"policyVersion"`   // from 1; grows by one with every change
	File            *fileLayer        `json:"file,omitempty"`  // nil: the server's file does not name the service any more
	Override        *traffic.Override `json:"override,omitempty"`
	OverrideVersion uint64            `json:"overrideVersion,omitempty"` // the policy version that set it
	Release         *releaseLayer     `json:"release,omitempty"`         // nil: none is active
	Roles           *roles            `json:"roles,omitempty"`           // nil: every variant has the weight that the file gives it
}

// fileLayer is what the file said when a server last read it.
type fileLayer struct {
	Variants []string        `json:"variants"`
	Weights  traffic.Weights `json:"weights"`
}

func (f *fileLayer) equal(o *fileLayer) bool {
	return o != nil && slices.Equal(f.Variants, o.Variants) && maps.Equal(f.Weights, o.Weights)
}

// trafficChange is one change of a trafficDoc.
type trafficChange = api.TrafficChange

type changeDoc struct {
	Format int `json:"format"`
	trafficChange
}

// What a change was, and who made those that no person did.
const (
	changeFile   = "file"
	changeGone   = "gone"
	changeSet    = "set"
	changeClear  = "clear"
	changeExpire = "expire"
	changeStep   = "release"

	byServer = "serin serve"
)

// change writes the document, in a new policy version, and what was changed.
func (d *trafficDoc) change(tx store.Tx, c trafficChange) error {
	d.PolicyVersion++
	c.PolicyVersion, c.Epoch, c.At, c.Expires = d.PolicyVersion, d.Epoch, c.At.UTC(), c.Expires.UTC()
	if err := putJSON(tx, trafficChangeKey(d.Service, c.PolicyVersion), changeDoc{trafficFormat, c}, store.Absent); err != nil {
		return err
	}
	if d.Release != nil {
		d.Release.share(d.PolicyVersion, d.layers(), c.At)
	}
	return d.save(tx)
}

// save writes the document as it is, in the same policy version.
func (d *trafficDoc) save(tx store.Tx) error {
	stored := *d
	stored.Override = inUTC(d.Override)
	if d.Release != nil {
		led := *d.Release
		led.Lease, stored.Release = led.Lease.UTC(), &led
	}
	return putJSON(tx, trafficKey(d.Service), stored, store.Any)
}

// inUTC returns an override as people and files get it. Whoever counts by it keeps its own: UTC has no monotonic reading.
func inUTC(o *traffic.Override) *traffic.Override {
	if o == nil {
		return nil
	}
	told := *o
	told.At, told.Expires = o.At.UTC(), o.Expires.UTC()
	return &told
}

// expire takes away an override that has ended.
func (d *trafficDoc) expire(tx store.Tx, now time.Time) error {
	ended := d.Override.Expires
	d.Override, d.OverrideVersion = nil, 0
	return d.change(tx, trafficChange{What: changeExpire, Expires: ended, At: now, By: byServer})
}

// layers are all that want a say.
func (d *trafficDoc) layers() traffic.Layers {
	l := traffic.Layers{Override: d.Override}
	if d.File != nil {
		l.Variants, l.File = d.File.Variants, d.Roles.swap(d.File.Weights)
	}
	if d.Roles != nil {
		l.Drift = d.Roles.drift()
	}
	if d.Release != nil {
		l.Release = &d.Release.Release
	}
	return l
}

// show tells the document as it stands at now by its layers, without its changes.
func (d *trafficDoc) show(layers traffic.Layers, now time.Time) api.ServiceTraffic {
	weights, source := layers.Effective(now)
	return api.ServiceTraffic{
		Service: d.Service, Epoch: d.Epoch, PolicyVersion: d.PolicyVersion, Variants: layers.Variants,
		Source: source, Weights: weights, Layers: layers.Explain(now), Override: inUTC(d.Override),
	}
}

// last returns the last n changes, newest first.
func (d *trafficDoc) last(r store.Reader, n int) (changes []trafficChange, err error) {
	for v := d.PolicyVersion; v > 0 && len(changes) < n; v-- {
		c, err := getJSON[changeDoc](r, trafficChangeKey(d.Service, v))
		if err != nil {
			return nil, err
		}
		changes = append(changes, c.trafficChange)
	}
	return changes, nil
}

func getTraffic(r store.Reader, service string) (trafficDoc, error) {
	return getJSON[trafficDoc](r, trafficKey(service))
}

// allTraffic reads all services' documents, by name.
func allTraffic(r store.Reader) (all []trafficDoc, err error) {
	err = r.Scan(trafficPrefix, func(d store.Doc) error {
		doc, err := decodeJSON[trafficDoc](d)
		all = append(all, doc)
		return err
	})
	return all, err
}

// findTraffic reads the document of a service that a client named. One that there is not is NotFound, with those that there are.
func findTraffic(r store.Reader, service string) (trafficDoc, error) {
	docs, err := allTraffic(r)
	if err != nil {
		return trafficDoc{}, err
	}
	for _, d := range docs {
		if d.Service == service {
			return d, nil
		}
	}
	return trafficDoc{}, noService(docs, service)
}

func noService(docs []trafficDoc, service string) error {
	if len(docs) == 0 {
		return fault.NotFoundf("no server has run with a service %.80q on this data directory, nor with any other that its file names", service).
			WithHint("start `serin serve` once with a serin.yaml that names it; its traffic is kept from then on")
	}
	names := make([]string, len(docs))
	for i, d := range docs {
		names[i] = d.Service
	}
	return fault.NotFoundf("no server has run with a service %.80q on this data directory", service).WithHint("known here: %s", strings.Join(names, ", "))
}

// getJSON reads a document of this format.
func getJSON[T any](r store.Reader, key string) (v T, err error) {
	d, err := r.Get(key)
	if err != nil {
		return v, err
	}
	return decodeJSON[T](d)
}

func decodeJSON[T any](d store.Doc) (v T, err error) {
	var head struct{ Format int }
	if err := json.Unmarshal(d.Value, &head); err != nil {
		return v, fault.Internalf("document %s is unreadable: %w", d.Key, err)
	}
	if head.Format != trafficFormat {
		return v, fault.Conflictf("document %s has format %d; this Serin knows %d", d.Key, head.Format, trafficFormat).
			WithHint("use the Serin that wrote it, or a newer one")
	}
	if err := json.Unmarshal(d.Value, &v); err != nil {
		return v, fault.Internalf("document %s is unreadable: %w", d.Key, err)
	}
	return v, nil
}

func putJSON(tx store.Tx, key string, v any, was int64) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Internalf("write document %s: %w", key, err)
	}
	_, err = tx.Put(key, b, was)
	return err
}

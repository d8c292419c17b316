package gateway

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/serin-ml/serin/internal/event"
)

// TestAServiceThatIsReplacedAsksItsShadowNoMore: a reload makes services anew, and keeps those that are the same.
func TestAServiceThatIsReplacedAsksItsShadowNoMore(t *testing.T) {
	kept, replaced := mirrored(t, 0, nil), mirrored(t, 0, func(o *ServiceOptions) { o.Name = "b" })
	s := newShadowing(t, kept, replaced)
	for _, name := range []string{"a", "b"} {
		if w := s.ask(http.MethodPost, "/v2/models/"+name+"/infer", fmt.Sprintf(v2Row, 1)); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
	s.SetServices([]*Service{kept})
	sum, _ := s.settle(2)
	if pairs, _ := sum.Totals(); pairs != 1 || sum.Drops[event.DropDraining] != 1 {
		t.Errorf("%d pairs, %v", pairs, sum.Drops)
	}
}

func TestTheShareOfAShadowIsSetAndGivenBack(t *testing.T) {
	s := mirrored(t, 0, nil)
	draws := func() bool { return s.shadows[0].lane.Draws(event.ID{1, 2, 3}) }
	if !draws() {
		t.Fatal("all are to be copied")
	}
	if !s.Mirror("next", 0) || draws() {
		t.Error("it is copied though nobody is to be")
	}
	if !s.Mirror("next", -1) || !draws() {
		t.Error("the share of the settings does not come back")
	}
	if s.Mirror("stable", 1) {
		t.Error("stable is no shadow")
	}
}

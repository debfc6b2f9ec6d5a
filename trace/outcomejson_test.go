package trace_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// Outcomes as JSON have the keys of the extended format, and are read as they were
// written.
func TestOutcomesAsJSON(t *testing.T) {
	for _, c := range []struct {
		name string
		o    trace.Outcome
		want string
	}{
		{storage.CallReserveWrite, trace.Outcome{N: 1, Took: 7, OK: []byte{0x5, 0x1}}, `{"n":1,"d":7,"ok":"0501"}`},
		{
			storage.CallReserveWrite,
			trace.Outcome{N: 2, OK: []byte{0}, OutOfMemory: []byte{2}, Busy: []byte{1}},
			`{"n":2,"d":0,"ok":"00","oom":"02","busy":"01"}`,
		},
		{storage.CallReserveWrite, trace.Outcome{N: 2, Took: 3, Aborted: []byte{1}}, `{"n":2,"d":3,"aborted":"01"}`},
		{storage.CallFinishWrite, trace.Outcome{N: 3, OK: []byte{}}, `{"n":3,"d":0,"ok":""}`},
		{storage.CallFinishRead, trace.Outcome{N: 4, OK: []byte{1}, Bad: 1}, `{"n":4,"d":0,"ok":"01","bad":1}`},
		{storage.CallSubmitPrefetch, trace.Outcome{N: 5, L1: 3}, `{"n":5,"d":0,"l1":3}`},
		{
			storage.CallSubmitPrefetch,
			trace.Outcome{N: 5, Resolved: true, Hits: 4, L2: 1, Wait: time.Millisecond},
			`{"n":5,"d":0,"hits":4,"l2":1,"wait":1000000}`,
		},
		{storage.CallReadEnter, trace.Outcome{N: 6, Entered: true}, `{"n":6,"d":0,"ok":true}`},
		{storage.CallReadEnter, trace.Outcome{N: 6, Missing: 2, Locked: 1}, `{"n":6,"d":0,"ok":false,"missing":2,"locked":1}`},
		{storage.CallReserveWrite, trace.Outcome{N: 2, Took: 3, Aborted: []byte{1}, Expired: true}, `{"n":2,"d":3,"aborted":"01","expired":true}`},
		{storage.CallRenew, trace.Outcome{N: 7, Entered: true}, `{"n":7,"d":0,"ok":true}`},
		{storage.CallRenew, trace.Outcome{N: 7}, `{"n":7,"d":0,"ok":false}`},
		{storage.CallReadExit, trace.Outcome{N: 7}, `{"n":7,"d":0}`},
	} {
		if got := string(c.o.AppendJSON(nil, c.name)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		var got trace.Outcome
		if err := json.Unmarshal([]byte(c.want), &got); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
		if diff := cmp.Diff(c.o, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.want, diff)
		}
	}
	for _, text := range []string{`{}`, `{"n":-1}`, `{"n":1,"ok":"0"}`, `{"n":1,"ok":7}`, `{"n":1,"busy":"xy"}`, `{"n":"1"}`, `[]`} {
		var o trace.Outcome
		if err := json.Unmarshal([]byte(text), &o); err == nil {
			t.Errorf("%s was accepted as %+v", text, o)
		}
	}
}

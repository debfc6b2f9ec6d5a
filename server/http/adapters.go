package httpserver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/storage"
)

// adapters answers GET /config/adapters.
func (s *Server) adapters(w http.ResponseWriter, r *http.Request) {
	type adapter struct {
		Index          int    `json:"index"`
		TypeName       string `json:"type_name"`
		Tier           string `json:"tier"`
		Primary        bool   `json:"primary"`
		Reconfigurable bool   `json:"reconfigurable"`
	}
	stats := s.o.Engine.Stats()
	list := make([]adapter, len(stats.Storage.Tiers))
	for i := range list {
		list[i] = adapter{Index: i, TypeName: stats.Storage.Tiers[i].Type, Tier: "l2", Primary: i == 0}
	}
	answer(w, r, http.StatusOK, struct {
		Adapters []adapter `json:"adapters"`
	}{list})
}

// findAdapter is the index of the tier that a client names: by its type, the first of
// several equal ones, or as fs#1 the one at that index.
func findAdapter(tiers []storage.TierStats, name string) (int, error) {
	for i := range tiers {
		if tiers[i].Type == name {
			return i, nil
		}
	}
	if kind, index, ok := strings.Cut(name, "#"); ok {
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < len(tiers) && tiers[i].Type == kind {
			return i, nil
		}
	}
	for i := range tiers { // as it is called in metrics and logs
		if tiers[i].Name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("there is no L2 adapter %q", name)
}

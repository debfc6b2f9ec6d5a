package machine

import (
	"runtime"
	"testing"
)

func TestFreeHugePages(t *testing.T) {
	const dir = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
		ok    bool
	}{
		{"unreadable", nil, 0, false},
		{"none", map[string]string{dir + "free_hugepages": "0\n"}, 0, true},
		{"some", map[string]string{dir + "free_hugepages": "512\n"}, 512, true},
		{"some promised", map[string]string{dir + "free_hugepages": "512\n", dir + "resv_hugepages": "500\n"}, 12, true},
		{"strange", map[string]string{dir + "free_hugepages": "many\n"}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, ok := FreeHugePages(machine(c.files)); n != c.want || ok != c.ok {
				t.Errorf("got %d, %v; want %d, %v", n, ok, c.want, c.ok)
			}
		})
	}
}

func TestReadSpace(t *testing.T) {
	s, err := ReadSpace(t.TempDir())
	if runtime.GOOS != "linux" {
		if err == nil {
			t.Errorf("got %+v on %s", s, runtime.GOOS)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.Total <= 0 || s.Free <= 0 || s.Free > s.Total {
		t.Errorf("got %+v", s)
	}
	if _, err := ReadSpace("/no/such/directory"); err == nil {
		t.Error("a directory that does not exist has room")
	}
}

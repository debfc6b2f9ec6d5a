package l1_test

import (
	"errors"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l1"
)

// computer is a machine with 8 GiB and files beside.
func computer(files ...string) fstest.MapFS {
	root := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: 8388608 kB\n")}}
	for i := 0; i < len(files); i += 2 {
		root[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return root
}

// More than the machine has is refused with both numbers and a size that fits,
// before anything is taken.
func TestMoreThanTheMachineHas(t *testing.T) {
	group := computer("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "4294967296")
	const huge = "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		o    l1.Options
		root fstest.MapFS
		want []string
	}{
		{"all of it", l1.Options{Bytes: 8 << 30}, computer(), nil},
		{"more", l1.Options{Bytes: 8<<30 + 1}, computer(), []string{"l1: Bytes: 8589934593 is more than this machine has (total 8589934592, control group unlimited); 6442450944 would fit"}},
		{"more than the group may have", l1.Options{Bytes: 5 << 30}, group, []string{"l1: Bytes: 5368709120 is more than this machine has (total 8589934592, control group 4294967296); 3221225472 would fit"}},
		{"no bytes", l1.Options{Bytes: 1 << 40, NoBytes: true}, computer(), nil},
		{"nothing is known", l1.Options{Bytes: 1 << 40}, fstest.MapFS{}, nil},
		{"huge pages", l1.Options{Bytes: 4 << 20, HugePages: true}, computer(huge, "2\n"), nil},
		{"too few huge pages", l1.Options{Bytes: 4<<20 + 1, HugePages: true}, computer(huge, "2\n"), []string{"l1: HugePages: 3 pages of 2 MiB are needed and 2 are free; raise vm.nr_hugepages"}},
		{"huge pages that nobody can count", l1.Options{Bytes: 4 << 20, HugePages: true}, computer(), nil},
		{"no directory", l1.Options{Bytes: 1, ShmName: "a", ShmDir: dir + "/none"}, computer(), []string{"l1: ShmDir: machine: statfs " + dir + "/none: no such file or directory"}},
		{"small directory", l1.Options{Bytes: 1 << 52, Align: 2 << 20, ShmName: "a", ShmDir: dir}, fstest.MapFS{}, []string{"l1: ShmName: " + dir + " has "}},
		{"several", l1.Options{Bytes: 9 << 30, HugePages: true}, computer(huge, "0\n"), []string{"l1: Bytes: ", "l1: HugePages: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := l1.OnMachine(c.o, c.root)
			err := o.CheckMachine()
			if len(c.want) == 0 {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("got %q, want %q", lines, c.want)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("got %q, want %q", lines[i], want)
				}
			}
			if _, err2 := l1.New(o); err2 == nil || err2.Error() != err.Error() {
				t.Errorf("New: %v", err2)
			}
		})
	}
	var memory *l1.MemoryError
	err := l1.OnMachine(l1.Options{Bytes: 5 << 30}, group).CheckMachine()
	if want := (&l1.MemoryError{Bytes: 5 << 30, Total: 8 << 30, Group: 4 << 30, Fits: 3 << 30}); !errors.As(err, &memory) || !cmp.Equal(memory, want) {
		t.Errorf("got %+v, want %+v", memory, want)
	}
}

func TestMemoryOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    l1.Options
		want []string
	}{
		{"initial size", l1.Options{InitBytes: -1}, []string{"InitBytes: must not be negative, got -1"}},
		{"path", l1.Options{ShmName: "a/b"}, []string{`ShmName: must be at most 239 bytes without a slash, got "a/b"`}},
		{"long", l1.Options{ShmName: strings.Repeat("a", 240)}, []string{"ShmName: must be at most 239 bytes"}},
		{"mode", l1.Options{ShmMode: 0o777}, []string{"ShmMode: must be 0600, 0660 or 0666, got 0777"}},
		{"both", l1.Options{HugePages: true, ShmName: "a"}, []string{`HugePages: not possible in shared memory (ShmName "a")`}},
		{"nothing to share", l1.Options{NoBytes: true, ShmName: "a"}, []string{"NoBytes: there is no memory to share"}},
		{"units", l1.Options{Bytes: 1 << 38, Align: 64, InitBytes: -1}, []string{"Bytes: must be at most 274877906880 with an Align of 64, got 274877906944", "InitBytes"}},
		{"largest number", l1.Options{Bytes: math.MaxInt64}, []string{"Bytes: must be at most 17592186040320 with an Align of 4096, got 9223372036854775807"}},
		{"as many as there can be", l1.Options{Bytes: 1<<38 - 64, Align: 64}, nil},
		{"several", l1.Options{InitBytes: -1, ShmMode: 1, ShmName: "/"}, []string{"InitBytes", "ShmName", "ShmMode"}},
		{"fine", l1.Options{ShmName: "auto", ShmMode: 0o660, InitBytes: 1, Eager: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.o.Bytes == 0 {
				c.o.Bytes = 1 << 20
			}
			err := c.o.Validate()
			if len(c.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to say %q", err, want)
				}
			}
		})
	}
}

// Huge pages, where this machine has set some aside.
func TestHugePages(t *testing.T) {
	m, err := l1.New(l1.Options{Bytes: 4 << 20, HugePages: true})
	if short := (*l1.HugePagesError)(nil); errors.As(err, &short) {
		t.Logf("not tried: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	w, n := stage(t, m, layoutOf(t, unit), chunks(1, 0, 1024)...)
	if n != 1024 {
		t.Errorf("%d of 1024 granted", n)
	}
	for _, b := range w.All() {
		b[0] = 1
	}
	w.Finish(time.Now(), l1.OriginNew)
	if data, err := os.ReadFile("/proc/self/smaps"); err != nil || !regexp.MustCompile(`Private_Hugetlb: +4096 kB`).Match(data) {
		t.Errorf("the memory is not in huge pages (%v)", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

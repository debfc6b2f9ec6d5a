package fs_test

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func parse(t testing.TB, text string) kv.Key {
	t.Helper()
	k, err := kv.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A file of format v1 is header, payload and zeros up to a multiple of 4096 bytes.
func TestFilesOfV1(t *testing.T) {
	for _, direct := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, fs.Options{BasePath: dir, DirectIO: direct})
		k := parse(t, "meta/llama@01000100@0@00ff10")
		mustStore(t, s, k, 5000)
		got, err := os.ReadFile(dir + "/v1/86/meta%2Fllama@01000100@0@00ff10.kv1")
		if err != nil {
			t.Fatal(err)
		}
		it := item(s.Format(), k, 5000)
		if want := slices.Concat(it.Head, it.Data, make([]byte, 8192-5000)); len(it.Head) != 4096 || !bytes.Equal(got, want) {
			t.Errorf("direct %v: a file of %d bytes that is not header, payload and zeros", direct, len(got))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// With format raw a folder can be shared with LMCache: names and bytes are its own,
// files that it has padded are read, and nothing is written over.
func TestRawIsShared(t *testing.T) {
	dir := t.TempDir()
	k := parse(t, "meta/llama@01000100@0@00ff10@t1")
	const name = "meta-SEP-llama@0x01000100@0@00ff10@t1.data"
	want := payload(k, 5000)
	for _, direct := range []bool{false, true} {
		s := open(t, fs.Options{BasePath: dir, Raw: true, DirectIO: direct})
		mustStore(t, s, k, 5000)
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("our file has %d bytes, %v", len(got), err)
		}
		for _, theirs := range [][]byte{want, slices.Concat(want, bytes.Repeat([]byte{7}, 8192-5000))} {
			if err := os.WriteFile(filepath.Join(dir, name), theirs, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := load(t, s, k, 5000); err != nil {
				t.Errorf("their file of %d bytes: %v", len(theirs), err)
			}
			if n, err := store(t, s, k, 5000); n != 0 || err != nil {
				t.Errorf("store over their file of %d bytes: %d bytes, %v", len(theirs), n, err)
			}
			if got := scan(t, s)[k].Size; got != int64(len(theirs)) {
				t.Errorf("scan: %d bytes, want %d", got, len(theirs))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 6000), 0o600); err != nil {
			t.Fatal(err)
		}
		isReason(t, load(t, s, k, 5000), l2.ReasonCorrupt)
		if err := s.Delete(t.Context(), []kv.Key{k}, make([]int64, 1)); err != nil {
			t.Fatal(err)
		}
		_, err := store(t, s, parse(t, "a-SEP-b@01000100@0@00"), 10)
		if err == nil || !strings.Contains(err.Error(), "-SEP-") {
			t.Errorf("a model with -SEP-: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Both formats have their places in one folder, and each sees its own alone.
func TestFormatsSideBySide(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	raw := open(t, fs.Options{BasePath: dir, Raw: true})
	for i := range 3 {
		mustStore(t, raw, key("m", i), 100)
	}
	v1 := open(t, fs.Options{BasePath: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mustStore(t, v1, key("m", 1), 200)
	fs.WaitBackground(v1)
	if n := v1.Describe()["raw_files"]; n != int64(3) || strings.Count(log.String(), "format raw") != 1 {
		t.Errorf("raw files: %v; log: %s", n, log.String())
	}
	if err := load(t, v1, key("m", 1), 200); err != nil {
		t.Error(err)
	}
	if err := load(t, raw, key("m", 1), 100); err != nil {
		t.Error(err)
	}
	if a, b := len(scan(t, v1)), len(scan(t, raw)); a != 1 || b != 3 {
		t.Errorf("%d objects of v1 and %d of raw", a, b)
	}
	for _, s := range []*fs.Store{raw, v1} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whatever else lies in the folder stays: only temporary files that are ours and old
// are removed.
func TestREQ_S68_ForeignFiles(t *testing.T) {
	leak.Check(t)
	for _, o := range []fs.Options{{}, {Raw: true}, {TempDir: "tmp"}} {
		o.BasePath = t.TempDir()
		s := open(t, o)
		good, link, folder, pipe, short, long := key("m", 0), key("m", 1), key("m", 2), key("m", 3), key("m", 4), key(strings.Repeat("long", 60), 5)
		if o.Raw {
			long = key("m", 6) // long names have no file there
		}
		mustStore(t, s, good, 5000)
		path := func(k kv.Key) string { return fs.Path(s, k) }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, k := range []kv.Key{link, folder, pipe, short, long} {
			must(os.MkdirAll(filepath.Dir(path(k)), 0o750))
		}
		must(os.Symlink(path(good), path(link)))
		must(os.Mkdir(path(folder), 0o750))
		must(syscall.Mkfifo(path(pipe), 0o600))
		must(os.WriteFile(path(short), make([]byte, 4095), 0o600))
		if !o.Raw {
			must(os.WriteFile(path(long), make([]byte, 8192), 0o600)) // a name that is a hash, and no header
		}
		home := filepath.Dir(path(good))
		other := []string{home + "/notes.txt", home + "/x.tmp", home + "/.lmcache-go-1-1.tmp", o.BasePath + "/core"}
		for _, p := range other {
			must(os.WriteFile(p, []byte("x"), 0o600))
		}
		temps := home
		if o.TempDir != "" {
			temps = filepath.Join(o.BasePath, o.TempDir)
		}
		fresh, stale := temps+"/.lmcache-go-1-00000000000000aa.tmp", temps+"/.lmcache-go-1-00000000000000bb.tmp"
		must(os.WriteFile(fresh, []byte("x"), 0o600))
		must(os.WriteFile(stale, []byte("x"), 0o600))
		old := time.Now().Add(-time.Hour - time.Minute)
		must(os.Chtimes(stale, old, old))
		must(s.Close())
		before := tree(t, o.BasePath)

		s = open(t, o)
		fs.WaitBackground(s)
		all := scan(t, s)
		if o.Raw {
			delete(all, short) // under raw every length may be right
		}
		if len(all) != 1 || all[good].Key != good {
			t.Errorf("scan: %v", slices.Collect(maps.Keys(all)))
		}
		for _, k := range []kv.Key{link, folder, pipe} {
			if lookup(t, s, k) {
				t.Errorf("lookup finds %s", path(k))
			}
			isReason(t, load(t, s, k, 5000), l2.ReasonNotFound)
			if _, err := store(t, s, k, 5000); err == nil {
				t.Errorf("store where %s is not a file: no error", path(k))
			}
			if _, err := s.Quarantine(t.Context(), k); err != nil {
				t.Errorf("quarantine of %s: %v", path(k), err)
			}
		}
		if !o.Raw {
			if lookup(t, s, short) {
				t.Error("lookup finds a file that is shorter than a header")
			}
			isReason(t, load(t, s, short, 100), l2.ReasonCorrupt)
			isReason(t, load(t, s, long, 4096), l2.ReasonCorrupt)
			if n := s.Describe()["unreadable_files"]; n != int64(1) {
				t.Errorf("files with the name of an object and no header: %v", n)
			}
		}
		if err := s.Delete(t.Context(), []kv.Key{link, folder, pipe}, make([]int64, 3)); err != nil {
			t.Error(err)
		}
		must(s.Close())
		delete(before, strings.TrimPrefix(stale, o.BasePath+"/"))
		if after := tree(t, o.BasePath); !maps.Equal(before, after) {
			t.Errorf("files before %v\nand after %v", before, after)
		}
	}
}

// A process that finds the files of another one, or finds that they are gone.
func TestSharedFolder(t *testing.T) {
	o := fs.Options{BasePath: t.TempDir()}
	a, b := open(t, o), open(t, o)
	k, gone := key("m", 1), key("m", 2)
	if lookup(t, b, k) {
		t.Error("an object that nobody has stored")
	}
	mustStore(t, a, k, 5000)
	mustStore(t, a, gone, 5000)
	for _, k := range []kv.Key{k, gone} {
		if !lookup(t, b, k) {
			t.Error("lookup does not find what another process has stored")
		}
	}
	if n, err := store(t, b, k, 5000); n != 0 || err != nil {
		t.Errorf("store of what is there: %d bytes, %v", n, err)
	}
	freed := []int64{-7}
	if err := a.Delete(t.Context(), []kv.Key{gone}, freed); err != nil || freed[0] != 4096+8192 {
		t.Errorf("delete: freed %d, %v", freed[0], err)
	}
	if !lookup(t, b, gone) {
		t.Error("the index asks the file system about what it knows")
	}
	isReason(t, load(t, b, gone, 5000), l2.ReasonNotFound)
	if lookup(t, b, gone) {
		t.Error("lookup finds what a load did not")
	}
	for _, s := range []*fs.Store{a, b} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file whose length cannot be right makes room for the object, and is kept.
func TestWrongLengthIsPutAside(t *testing.T) {
	o := fs.Options{BasePath: t.TempDir(), MaxBytes: 1 << 30}
	s := open(t, o)
	for i := range 20 {
		k := key("m", i)
		mustStore(t, s, k, 5000)
		if err := os.Truncate(fs.Path(s, k), 4096+int64(i)); err != nil {
			t.Fatal(err)
		}
		isReason(t, load(t, s, k, 5000), l2.ReasonCorrupt)
		mustStore(t, s, k, 5000)
		if err := load(t, s, k, 5000); err != nil {
			t.Error(err)
		}
	}
	var want int64
	kept := map[string]int64{}
	for i := 4; i < 20; i++ {
		kept[filepath.Join("quarantine", filepath.Base(fs.Path(s, key("m", i))))] = 4096 + int64(i)
		want += 4096 + int64(i)
	}
	check := func(s *fs.Store) {
		t.Helper()
		got := tree(t, o.BasePath)
		maps.DeleteFunc(got, func(name string, _ int64) bool { return !strings.HasPrefix(name, "quarantine/") })
		if !maps.Equal(got, kept) {
			t.Errorf("in quarantine: %v\nwant %v", got, kept)
		}
		if d := s.Describe(); d["quarantine_files"] != int64(16) || d["quarantine_bytes"] != want {
			t.Errorf("described as %v files with %v bytes, want %d bytes", d["quarantine_files"], d["quarantine_bytes"], want)
		}
		if got := s.Limit(0); got != 1<<30-want {
			t.Errorf("limit %d, want what quarantine leaves, %d", got, 1<<30-want)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	check(s)

	// The oldest goes, also after a restart, and a second one of a key replaces the first.
	freed, err := s.Quarantine(t.Context(), key("m", 7))
	if err != nil || freed != 4096+8192 {
		t.Errorf("freed %d, %v", freed, err)
	}
	name := func(i int) string { return filepath.Join("quarantine", filepath.Base(fs.Path(s, key("m", i)))) }
	want += freed - kept[name(7)]
	kept[name(7)] = freed
	check(s)
	if freed, err = s.Quarantine(t.Context(), key("m", 0)); err != nil {
		t.Fatal(err)
	}
	want += freed - kept[name(4)]
	delete(kept, name(4))
	kept[name(0)] = freed
	check(s)
	if lookup(t, s, key("m", 0)) {
		t.Error("lookup finds what is in quarantine")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Folders that cannot be used are errors of Open that say what is wrong.
func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []fs.Options{{BasePath: file}, {BasePath: file + "/below"}, {BasePath: t.TempDir(), TempDir: "../" + filepath.Base(file)}} {
		if s, err := fs.Open(t.Context(), o); err == nil {
			t.Errorf("%+v was opened", o)
			_ = s.Close()
		} else if !strings.Contains(err.Error(), file) && !strings.Contains(err.Error(), "TempDir") {
			t.Errorf("%v does not name the folder", err)
		}
	}
	err := fs.Options{TempDir: "/tmp", ReadAhead: -1, MaxBytes: -1, HighWatermark: 1.5, Sync: "dir", Checksum: 9, Raw: true}.Validate()
	for _, name := range []string{"BasePath", "TempDir", "ReadAhead", "MaxBytes", "HighWatermark", "Sync", "Checksum"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if err := (fs.Options{BasePath: "x"}).Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
}

// What an earlier process has stored is known after a restart, in the order of use.
func TestREQ_S53_OrderSurvivesRestart(t *testing.T) {
	o := fs.Options{BasePath: t.TempDir()}
	s := open(t, o)
	const n = 50
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	long := strings.Repeat("long name/", 30)
	keys := make([]kv.Key, n)
	for i := range keys {
		keys[i] = key("m", i)
		if i%10 == 0 {
			keys[i] = key(long, i)
		}
		mustStore(t, s, keys[i], 5000+i)
		s.Touch(t.Context(), keys[i:i+1], start.Add(time.Duration(i*7%n)*time.Minute))
	}
	s.Touch(t.Context(), keys[:1], start.Add(-time.Hour)) // late news of an early use
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := tree(t, o.BasePath)
	s = open(t, o)
	var sum, want int64
	for _, size := range files {
		want += size
	}
	all := scan(t, s)
	for i, k := range keys {
		e := all[k]
		sum += e.Size
		if at := start.Add(time.Duration(i*7%n) * time.Minute); !e.Used.Equal(at) {
			t.Errorf("object %d was used at %v, want %v", i, e.Used, at)
		}
		if !lookup(t, s, k) {
			t.Errorf("object %d is not found", i)
		}
	}
	if len(all) != n || sum != want {
		t.Errorf("%d objects of %d bytes, want %d of %d", len(all), sum, n, want)
	}
	if got := s.Describe()["index_objects"]; got != n {
		t.Errorf("%v objects in the index", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.NoRecover = true
	s = open(t, o)
	if len(scan(t, s)) != 0 || !lookup(t, s, keys[3]) {
		t.Error("without recovery nothing is scanned, and all is found")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), keys, make([]int64, n)); !errors.Is(err, l2.ErrClosed) {
		t.Errorf("delete after close: %v", err)
	}
}

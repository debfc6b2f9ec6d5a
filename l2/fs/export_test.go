package fs

import "github.com/lmcache-go/lmcache/storage/kv"

// WaitBackground waits for what runs in the background.
func WaitBackground(s *Store) { s.background.Wait() }

// Path is where the object of a key is.
func Path(s *Store, k kv.Key) string {
	_, path, err := s.place(k)
	if err != nil {
		panic(err)
	}
	return path
}

package flags

import (
	"github.com/lmcache-go/lmcache/internal/cli"
)

// Server holds the flags of the cache server that belong to no other group.
type Server struct {
	ChunkSize     int     `name:"chunk-size" group:"Server" default:"256" min:"1" max:"65536" help:"Tokens per chunk; a multiple of the engine's block size"`
	HashAlgorithm string  `name:"hash-algorithm" group:"Server" default:"blake3" choices:"blake3,sha256_cbor,builtin" help:"How chunks are hashed"`
	HashSeed      *string `name:"hash-seed" group:"Server" help:"Text that sha256_cbor is seeded with, as PYTHONHASHSEED is elsewhere"`
	Device        string  `name:"device" group:"Server" default:"auto" choices:"auto,none" later:"fake,cuda" help:"Device that copies between engines and L1; auto takes what there is"`
	DryRun        bool    `name:"dry-run" group:"Server" help:"Check everything, open nothing, print the plan"`
}

// Check reports values that do not fit each other.
func (s *Server) Check(p *cli.Problems) {
	if s.HashSeed != nil && s.HashAlgorithm != "sha256_cbor" && !p.IsBad("hash-algorithm") {
		p.Flag("hash-seed", "is only used with --hash-algorithm sha256_cbor, got %s", s.HashAlgorithm)
	}
	if v, ok := p.LookupEnv("PYTHONHASHSEED"); ok && v != "" && (s.HashAlgorithm == "sha256_cbor" || s.HashAlgorithm == "builtin") {
		p.Warn("PYTHONHASHSEED is ignored; --hash-seed sets the seed of sha256_cbor")
	}
}

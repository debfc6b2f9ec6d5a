package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// fileUses are the files that a command reads and those that it writes. None of the
// latter may be another one of them: it would be emptied, or two results be mixed.
type fileUses struct {
	read, written []fileUse
}

// fileUse is a file, what gives its name, and what is there.
type fileUse struct {
	flag string      // without dashes; empty for an input
	name string      // in messages of others
	own  string      // in messages of its flag
	path string      // absolute, without links
	info fs.FileInfo // nil: there is none yet
}

// reads adds inputs that an argument names; - is stdin.
func (u *fileUses) reads(argument string, paths ...string) {
	for _, path := range paths {
		name := argument + " " + path
		if path == "-" {
			path = os.Stdin.Name()
		}
		u.read = append(u.read, useOf(fileUse{name: name}, path))
	}
}

// writes adds the output that a flag names, if it names a file.
func (u *fileUses) writes(flag, path string) {
	if path != "" && path != "-" {
		u.written = append(u.written, useOf(fileUse{flag: flag, name: "--" + flag + " " + path, own: path}, path))
	}
}

// writesIn adds an output of a fixed name in a directory that a flag names.
func (u *fileUses) writesIn(flag, dir, name string) {
	u.written = append(u.written, useOf(fileUse{flag: flag, name: name + " in --" + flag + " " + dir, own: name + " in it"}, filepath.Join(dir, name)))
}

// check reports outputs that are an input or another output.
func (u *fileUses) check(p *cli.Problems) {
	for i := range u.written {
		out := &u.written[i]
		for j := range u.read {
			if in := &u.read[j]; out.same(in) {
				p.Flag(out.flag, "%s would overwrite the input %s", out.own, in.name)
			}
		}
		for j := range u.written[:i] {
			if other := &u.written[j]; out.same(other) {
				p.Flag(out.flag, "%s is the same file as %s", out.own, other.name)
			}
		}
	}
}

func useOf(f fileUse, path string) fileUse {
	f.path = resolved(path)
	f.info, _ = os.Stat(path)
	return f
}

// same reports whether both are one file. A device or a pipe may be used more than once.
func (f *fileUse) same(o *fileUse) bool {
	if f.info != nil && o.info != nil {
		return f.info.Mode().IsRegular() && os.SameFile(f.info, o.info)
	}
	return f.info == nil && o.info == nil && f.path == o.path
}

// resolved is the absolute path of a file that need not be there, nor its directories,
// without the links that are.
func resolved(path string) string {
	const links = 40 // that a system follows
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for range links {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	dir, rest := filepath.Dir(path), filepath.Base(path)
	for dir != filepath.Dir(dir) {
		if there, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(there, rest)
		}
		dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
	}
	return filepath.Join(dir, rest)
}

//go:build !invariants

package arena

const invariantsEnabled = false

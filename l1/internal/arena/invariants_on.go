//go:build invariants

package arena

const invariantsEnabled = true

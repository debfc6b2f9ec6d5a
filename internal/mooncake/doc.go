// Package mooncake reads request traces in the JSON lines of the Mooncake
// project and turns their block hashes into tokens.
//
// A line is one request: when it came, how long its prompt is, and one id per
// block of tokens of the prompt; the last block may be partial.
//
//	{"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [0, 14, 15]}
//
// An id stands for a block together with everything before it, so prompts
// with a common prefix of ids have a common prefix of tokens. The text behind
// the ids was never published; Tokens makes up tokens that are equal where the
// ids are equal.
//
// A slice of a real trace is part of the package, see Builtin.
package mooncake

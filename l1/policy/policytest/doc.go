// Package policytest holds the contract that every eviction policy keeps: Run
// checks it, and Compare checks that two policies make the same decisions, one of
// which may be a slow and obvious model.
package policytest

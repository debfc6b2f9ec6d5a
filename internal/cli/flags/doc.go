// Package flags defines the flags that several commands share, each group once,
// and checks what depends on more than one of them. A group is embedded in a
// command's struct; the command's Check calls that of its groups.
//
// The fields carry the tags that package cli describes. Groups know no other
// package of the program: a command turns them into the options of the packages
// that it assembles.
package flags

// Package cli is what all commands of lmcache share: it finds a command's
// values, reports every problem at once, and prints results.
//
// # From arguments to a command
//
// App takes a kong grammar. A run goes through five steps, and only the last
// one does anything:
//
//  1. scan the arguments against the grammar: which command, which flags; what
//     is unknown is reported with the nearest name;
//  2. read the configuration file, if one is named, and check its keys;
//  3. let kong fill the command's struct. Values come from the command line,
//     then the environment, then the file, then the default tag;
//  4. let the command check what depends on more than one flag (Checker);
//  5. run it (Command).
//
// Problems of all steps before the run are collected. If there is any, the run
// does not happen, every problem is printed on one line with the place its
// value came from, and the exit code says whether the configuration is wrong
// (2) or this machine is in the way (1).
//
// # Tags
//
// Besides kong's own, a flag field may carry these tags:
//
//	min, max, above   bounds of a number, in the flag's own unit; above excludes its value
//	choices           comma-separated list of the texts that are allowed
//	unit              of the plain numbers of a Bytes flag ("GiB")
//	emptyenv          an empty environment variable counts as a value
//	lenientenv        a text from the environment that is not among the choices gives a warning and the default
//	json              of a list: the values are JSON objects, in a file also YAML objects
//	nargs:"*"         takes all following arguments up to the next flag
//	treat, why, upstream   flags of LMCache that are not ours; see Upstream
package cli

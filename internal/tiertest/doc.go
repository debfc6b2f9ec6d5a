// Package tiertest has tests of the storage manager over outer tiers that take real
// servers, whole processes or minutes, and no code:
//
//   - random faults of everything at once under a workload, in which every byte that is
//     read is compared (make soak-tiers);
//   - kill -9 of a process in the middle of stores, again and again on one folder;
//   - servers that are killed and started again in the middle of a workload;
//   - objects of all sizes and layouts through every adapter;
//   - what must not grow, and what a start that fails must not leave behind.
package tiertest

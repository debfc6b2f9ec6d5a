package lmcache

// SetBatch changes how many objects a worker copies between two events. No
// transfer of the worker may be running.
func SetBatch(w *Worker, objects int) { w.batch = objects }

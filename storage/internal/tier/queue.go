package tier

import "slices"

// jobQueue is jobs with objects that wait for a call, in order.
type jobQueue struct{ jobs []*Job }

func (q *jobQueue) push(j *Job) {
	if !j.queued {
		j.queued = true
		q.jobs = append(q.jobs, j)
	}
}

// pushFront puts a job before all others.
func (q *jobQueue) pushFront(j *Job) {
	if j.queued {
		q.jobs = slices.DeleteFunc(q.jobs, func(o *Job) bool { return o == j })
	}
	j.queued = true
	q.jobs = slices.Insert(q.jobs, 0, j)
}

// head is the first job that still has something to do.
func (q *jobQueue) head() *Job {
	for len(q.jobs) > 0 {
		j := q.jobs[0]
		if len(j.todo) > 0 {
			return j
		}
		j.queued = false
		q.jobs = slices.Delete(q.jobs, 0, 1)
	}
	return nil
}

// objects is how many wait.
func (q *jobQueue) objects() (n int) {
	for _, j := range q.jobs {
		n += len(j.todo)
	}
	return n
}

// takeAll empties the queue.
func (q *jobQueue) takeAll() []*Job {
	jobs := q.jobs
	q.jobs = nil
	for _, j := range jobs {
		j.queued = false
	}
	return jobs
}

func (t *Tier) queueOf(j *Job) *jobQueue {
	if j.store {
		return &t.mu.stores
	}
	return &t.mu.loads
}

func (t *Tier) enqueueLocked(j *Job) { t.queueOf(j).push(j) }

// failQueuedLocked gives everything that waits an outcome.
func (t *Tier) failQueuedLocked(err error) {
	for _, q := range []*jobQueue{&t.mu.loads, &t.mu.stores} {
		for _, j := range q.takeAll() {
			todo := j.todo
			j.todo = nil
			for _, i := range todo {
				t.settleLocked(j, i, err)
			}
		}
	}
	t.endPausesLocked(err)
	t.endAsideLocked(err)
	for _, l := range t.mu.lookups {
		t.tellLocked(l, Answer{Err: err})
	}
	t.mu.lookups = nil
	for _, d := range t.mu.deletes {
		t.abandonLocked(d, err)
	}
	t.mu.deletes = nil
}

package lmcache

import "time"

// pending reports whether the result is still being loaded.
func (m *Match) pending() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.mu.void && !m.mu.resolved && !m.answeredLocked()
}

// renew starts the time of what the match holds anew.
func (m *Match) renew() {
	for _, t := range m.snapshot() {
		t.p.Renew()
	}
}

// ask notes that somebody wants to know the result.
func (m *Match) ask() {
	now := m.s.e.sm.Now()
	m.mu.Lock()
	m.mu.asked = now
	m.mu.Unlock()
	m.s.use(now)
}

// overdue reports whether the result has waited too long for somebody who asks,
// and otherwise when it will have; zero: it does not wait.
func (m *Match) overdue(now time.Time) (due time.Time, over bool) {
	if m.pending() {
		return time.Time{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.delivered || m.mu.void {
		return time.Time{}, false
	}
	last := m.submitted // what is held was known when it was asked for, or is known since
	for _, t := range []time.Time{m.mu.known, m.mu.asked} {
		if t.After(last) {
			last = t
		}
	}
	due = last.Add(jobTTL)
	return due, !now.Before(due)
}

// begin counts the transfer as running, which keeps its session open, and lets b
// renew its lease as long as it does.
func (j *transferJob) begin(b bell) {
	j.alarm.bell = b
	j.s.runs(j.at, 1)
	j.w.e.alarms.set(&j.alarm, j.at.Add(j.w.e.beat))
}

// over is the end of begin, if there was one.
func (j *transferJob) over() {
	if j.alarm.bell == nil {
		return
	}
	j.w.e.alarms.stop(&j.alarm)
	j.s.runs(j.w.e.sm.Now(), -1)
}

func (j *storeJob) ring(now time.Time) time.Time {
	for i := range j.parts {
		j.parts[i].lease.Renew()
	}
	return now.Add(j.w.e.beat)
}

func (j *retrieveJob) ring(now time.Time) time.Time {
	for i := range j.parts {
		j.parts[i].lease.Renew()
	}
	return now.Add(j.w.e.beat)
}

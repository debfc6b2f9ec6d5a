package l1

import "time"

// tick is what happened since the last EvictionLoopTick.
type tick struct {
	armed     bool
	due       time.Time // armed: of the next one
	triggered bool
	usage     float64 // watermark mode, triggered: before the last pass
	keys      int64
	bytes     int64
}

// tickPeriod is the time between two ticks.
const tickPeriod = time.Second

// armTickLocked starts the ticker, which runs only while somebody listens.
func (m *Manager) armTickLocked(now time.Time) {
	if m.mu.tick.armed || m.mu.closed || !m.topics.tick.Active() {
		return
	}
	m.mu.tick.armed, m.mu.tick.due = true, now.Add(tickPeriod)
	m.rt.At(m.mu.tick.due, m.onTick)
}

func (m *Manager) onTick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.rt.Now()
	if m.mu.closed || !m.topics.tick.Active() {
		m.mu.tick.armed = false
		return
	}
	m.enterLocked(now)
	t := &m.mu.tick
	usage := m.usageLocked()
	if t.triggered && m.o.Mode == ModeWatermark {
		usage = t.usage
	}
	m.topics.tick.PublishAt(EvictionLoopTick{
		Usage: usage, Watermark: m.watermark(), Triggered: t.triggered, Mode: m.o.Mode,
		EvictedKeys: t.keys, EvictedBytes: t.bytes,
	}, now)
	if m.o.Mode == ModeWatermark && !t.triggered && usage < m.o.Watermark {
		m.warnLocked(usageMessage(usage, m.o.Watermark))
	}
	*t = tick{}
	m.armTickLocked(now)
}

func (m *Manager) usageLocked() float64 {
	if c := m.mu.arena.Capacity(); c > 0 {
		return float64(m.mu.arena.Used()) / float64(c)
	}
	return 0
}

// watermark is the usage at which background eviction begins; 1 in exact mode.
func (m *Manager) watermark() float64 {
	if m.o.Mode == ModeWatermark {
		return m.o.Watermark
	}
	return 1
}

package policy

// forecast says which weight of uses would have had the most hits lately.
//
// With a weight w, an entry that was used u times is there as long as its age is at
// most T + w*log2(u), where T is such that all entries of which that is true fill the
// room. So it is enough to know how many entries there are by age and uses, those that
// have left included: T follows for any weight, and with it whether a use would have
// been a hit. Weight zero is LRU; its T is the age that LRU reaches. (The approximation
// of Che, Tung and Wang, for a score instead of an age: it takes T to be the same
// throughout an age. Chains of entries are not looked at.)
//
// Ages are counted in uses of all entries, in steps of a power of two, and looked at up to
// forecastSpan times the room. All of it is integers, so that it is equal on every machine.
type forecast struct {
	rank   []uint64                                      // by class of uses: log2, in units of 1/one
	counts [forecastSteps][len(useClasses)]int32         // entries by step of their last use, modulo forecastSteps, and class
	shift  uint                                          // a step is 1<<shift uses
	step   uint64                                        // the current step
	room   uint32                                        // entries that there is room for; 0: not known yet
	reach  [len(forecastWeights)][len(useClasses)]uint64 // by weight and class: the highest age that is there, in uses
	hits   [len(forecastWeights)]uint64                  // lately, in units of 1/one
	chosen int
}

const (
	forecastSteps = 512
	forecastSpan  = 16 // ages up to so many times the room
	firstShift    = 6
	forgetting    = 7 // a step takes this share, as a power of two, of what was counted
	hesitation    = 8 // a weight takes over that is better by this share
)

// forecastWeights are the weights that are compared, in eighths of the room.
var forecastWeights = [...]uint64{0, 1, 2, 4, 8, 16, 32, 64, 128}

func (f *forecast) init(rank []uint64) { f.rank, f.shift = rank, firstShift }

// weight is that with the most hits.
func (f *forecast) weight() uint64 { return f.weightOf(f.chosen) }

func (f *forecast) weightOf(w int) uint64 { return forecastWeights[w] * uint64(f.room) / 8 }

// fit makes steps longer when there are more entries.
func (f *forecast) fit(entries uint32) {
	if uint64(entries)*forecastSpan <= forecastSteps<<f.shift {
		return
	}
	var merged [forecastSteps][len(useClasses)]int32
	for back := range uint64(forecastSteps) {
		if back > f.step {
			break
		}
		from := f.step - back
		to := &merged[from/2%forecastSteps]
		for c, n := range f.counts[from%forecastSteps] {
			to[c] += n
		}
	}
	f.counts = merged
	f.shift++
	f.step /= 2
}

// full says that entries are all that there is room for.
func (f *forecast) full(entries uint32) {
	if f.room == 0 {
		f.room = entries
		f.compute()
	}
	f.room = entries
}

// came counts an entry whose last use has the number seq.
func (f *forecast) came(seq uint64, class int) {
	step := seq >> f.shift
	for f.step < step {
		f.step++
		f.counts[f.step%forecastSteps] = [len(useClasses)]int32{}
		if f.room > 0 {
			f.compute()
		}
	}
	f.counts[step%forecastSteps][class]++
}

// left undoes came.
func (f *forecast) left(seq uint64, class int) {
	if step := seq >> f.shift; step+forecastSteps > f.step {
		f.counts[step%forecastSteps][class]--
	}
}

// used says that an entry of a class was used again, last at the number before.
func (f *forecast) used(now, before uint64, class int) {
	f.left(before, class)
	if f.room == 0 {
		return
	}
	age := now - before
	for w := range f.hits {
		if age <= f.reach[w][class] {
			f.hits[w] += one
		}
	}
}

// compute finds what each weight would keep, and the best one. It runs once a step.
func (f *forecast) compute() {
	// older[c][k] is how many entries of class c are at most k steps old.
	var older [len(useClasses)][forecastSteps + 1]int32
	for k := range uint64(forecastSteps) {
		var row [len(useClasses)]int32
		if k <= f.step {
			row = f.counts[(f.step-k)%forecastSteps]
		}
		for c, n := range row {
			older[c][k+1] = older[c][k] + max(n, 0)
		}
	}
	var bonus [len(useClasses)]int64 // in steps
	for w := range forecastWeights {
		for c, rank := range f.rank {
			bonus[c] = int64(f.weightOf(w) * rank / one >> f.shift)
		}
		kept := func(steps int64) (n int64) {
			for c := range older {
				k := min(max(steps+bonus[c], 0), forecastSteps)
				n += int64(older[c][k])
			}
			return n
		}
		lo, hi := -bonus[len(bonus)-1], int64(forecastSteps) // kept(lo) is nothing
		for lo+1 < hi {
			if mid := lo + (hi-lo)/2; kept(mid) <= int64(f.room) {
				lo = mid
			} else {
				hi = mid
			}
		}
		for c := range bonus {
			f.reach[w][c] = uint64(max(lo+bonus[c], 0)) << f.shift
		}
	}
	best := 0
	for w := range f.hits {
		f.hits[w] -= f.hits[w] >> forgetting
		if f.hits[w] > f.hits[best] {
			best = w
		}
	}
	if best == 0 || f.hits[best]-f.hits[best]>>hesitation > f.hits[f.chosen] {
		f.chosen = best
	}
}

package trees

import "slices"

// maxCategory is the first number that is no category: beyond it float32, in which categories travel, has no odd numbers.
const maxCategory = 1 << 24

// maxSets is how many sets a forest may have: a node holds the number of its set in a float32.
const maxSets = 1 << 24

// set is the categories that a categorical split has chosen. XGBoost sends those right and all others left, LightGBM the other way.
// It is a bit for each category up to the largest, or a sorted list where such bits would take much more room than the file did:
// a file of a few bytes may name the category sixteen million.
type set struct {
	start uint32 // in words
	count uint32 // how many words
	limit uint32 // categories from here on are outside: the largest, rounded up to whole words of bits as XGBoost does
	list  bool
	setOptions
	outsideRight bool // a value goes right that is no category this split can know
}

// setOptions say how a split uses its set.
type setOptions struct {
	defaultRight bool // a missing value goes right; where the chosen go left, it always does
	chosenLeft   bool // the chosen go left, and whatever is not chosen right
}

// sets holds the sets of a forest.
type sets struct {
	sets  []set
	words []uint32
}

// add keeps a set of categories, each from 0 below maxCategory, and returns its number.
func (s *sets) add(chosen []int32, o setOptions) int {
	chosen = slices.Compact(slices.Sorted(slices.Values(chosen)))
	bits := 0
	if len(chosen) > 0 {
		bits = int(chosen[len(chosen)-1])/32 + 1
	}
	c := set{start: uint32(len(s.words)), limit: uint32(bits) * 32, setOptions: o}
	if bits <= 8 || bits <= 2*len(chosen) {
		s.words = append(s.words, make([]uint32, bits)...)
		for _, v := range chosen {
			s.words[int(c.start)+int(v)/32] |= 1 << (v % 32)
		}
	} else {
		c.list = true
		for _, v := range chosen {
			s.words = append(s.words, uint32(v))
		}
	}
	c.count = uint32(len(s.words)) - c.start
	s.sets = append(s.sets, c)
	return len(s.sets) - 1
}

// addBits keeps a set that is given as bits, a category being bit c%32 of word c/32, and returns its number.
func (s *sets) addBits(words []uint32, o setOptions) int {
	s.sets = append(s.sets, set{start: uint32(len(s.words)), count: uint32(len(words)), limit: uint32(len(words)) * 32, setOptions: o})
	s.words = append(s.words, words...)
	return len(s.sets) - 1
}

// outsideByDefault makes every split send unknown categories where it sends missing values.
func (s *sets) outsideByDefault() {
	for i := range s.sets {
		s.sets[i].outsideRight = s.sets[i].defaultRight
	}
}

// right tells whether v goes right. v is cut to a whole number, as a C cast does. A missing value is +Inf here if it goes right
// and -Inf if it goes left (see forest.image).
func (s *sets) right(number int, v float64) bool {
	c := &s.sets[number]
	if c.chosenLeft {
		return !(v > -1 && v < float64(c.limit)) || !s.has(c, uint32(v))
	}
	if !(v >= 0 && v < float64(c.limit)) {
		return v > maxFinite || c.outsideRight && v >= -maxFinite
	}
	return s.has(c, uint32(v))
}

// has tells whether a set has a category below its limit.
func (s *sets) has(c *set, category uint32) bool {
	words := s.words[c.start : c.start+c.count]
	if c.list {
		_, found := slices.BinarySearch(words, category)
		return found
	}
	return words[category/32]>>(category%32)&1 == 1
}

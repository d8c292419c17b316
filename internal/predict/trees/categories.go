package trees

import "slices"

// maxCategory is the first number that is no category: beyond it float32, in which categories travel, has no odd numbers.
const maxCategory = 1 << 24

// maxSets is how many sets a forest may have: a node holds the number of its set in a float32.
const maxSets = 1 << 24

// set is the categories that a categorical split sends to the right. (XGBoost sends the chosen ones right, and all others left.)
// It is a bit for each category up to the largest, or a sorted list where such bits would take much more room than the file did:
// a file of a few bytes may name the category sixteen million.
type set struct {
	start uint32 // in words
	count uint32 // how many words
	limit uint32 // categories from here on are outside: the largest, rounded up to whole words of bits as XGBoost does
	list  bool
	// defaultRight and outsideRight say where a value goes that is missing, and one that is no category this split can know.
	defaultRight, outsideRight bool
}

// sets holds the sets of a forest.
type sets struct {
	sets  []set
	words []uint32
}

// add keeps a set of categories, each from 0 below maxCategory, and returns its number. It sorts chosen.
func (s *sets) add(chosen []int32, defaultRight bool) int {
	slices.Sort(chosen)
	chosen = slices.Compact(chosen)
	bits := int(chosen[len(chosen)-1])/32 + 1
	c := set{start: uint32(len(s.words)), limit: uint32(bits) * 32, defaultRight: defaultRight}
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
	if !(v >= 0 && v < float64(c.limit)) {
		return v > maxFinite || c.outsideRight && v >= -maxFinite
	}
	category, words := uint32(v), s.words[c.start:c.start+c.count]
	if c.list {
		_, found := slices.BinarySearch(words, category)
		return found
	}
	return words[category/32]>>(category%32)&1 == 1
}

package trees_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestFilesOfEveryVersionAnswerAsTheirLibraryDid reads the models in testdata/versions, each written by another XGBoost, and compares
// with what that very library answered (see testdata/fixtures.py).
func TestFilesOfEveryVersionAnswerAsTheirLibraryDid(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("testdata", "versions", "*"))
	if err != nil || len(folders) < 14 {
		t.Fatalf("%d versions, %v", len(folders), err)
	}
	explained := 0
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(folder, "answers.json"))
			if err != nil {
				t.Fatal(err)
			}
			var answers struct {
				Rows   any
				Models map[string]struct {
					Files                                   []string
					Prediction, Margin, Leaf, Contributions any
				}
			}
			if err := json.Unmarshal(text, &answers); err != nil {
				t.Fatal(err)
			}
			rows, total, files := flat(answers.Rows), tally{}, 0
			for name, want := range answers.Models {
				for _, f := range want.Files {
					files++
					m, err := openFile(t, filepath.Join(folder, f), "")
					if err != nil {
						t.Errorf("%s: %v", f, err)
						continue
					}
					prediction, margin, err := ask(t, m, rows)
					if err != nil {
						t.Errorf("%s: %v", f, err)
						continue
					}
					total.add(compareShaped(t, prediction, flat(want.Prediction), rows, "%s (%s), prediction", name, f))
					total.add(compareShaped(t, margin, flat(want.Margin), rows, "%s (%s), margin", name, f))
					if want.Leaf != nil {
						explained++
						explanation{leaf: flat(want.Leaf)}.compare(t, m, rows, margin, f)
					}
					if want.Contributions != nil {
						explained++
						explanation{contributions: flat(want.Contributions)}.compare(t, m, rows, margin, f)
					}
				}
			}
			if files < 10 {
				t.Errorf("only %d files", files)
			}
			t.Logf("%d files, %d numbers, %.2f%% equal to the bit, worst relative error %.3g", files, total.values, total.share(), total.worst)
		})
	}
	if explained < 30 {
		t.Errorf("only %d explanations were compared", explained)
	}
}

// flat turns nested lists of numbers into an array; null is a missing value.
func flat(v any) (a array) {
	list, nested := v.([]any)
	if !nested {
		number, given := v.(float64)
		if !given {
			number = math.NaN()
		}
		return array{values: []float32{float32(number)}}
	}
	a.shape = []int{len(list)}
	for i, item := range list {
		inner := flat(item)
		if i == 0 {
			a.shape = append(a.shape, inner.shape...)
		}
		a.values = append(a.values, inner.values...)
	}
	return a
}

package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Models that take something else than rows of floats.
var (
	opinion  = tensor.Signature{Inputs: []tensor.Spec{{Name: "review", DType: tensor.Bytes, Shape: []int{-1}}}}
	labelled = tensor.Signature{Inputs: []tensor.Spec{{Name: "words", DType: tensor.Bytes, Shape: []int{-1, 2}, Columns: []string{"x", "y"}}}}
	whole    = tensor.Signature{Inputs: []tensor.Spec{{Name: "n", DType: tensor.Int32, Shape: []int{-1, 2}}}}
	big      = tensor.Signature{Inputs: []tensor.Spec{{Name: "n", DType: tensor.Int64, Shape: []int{-1}}}}
	wide     = tensor.Signature{Inputs: []tensor.Spec{{Name: "d", DType: tensor.Float64, Shape: []int{-1, 3}, Columns: []string{"a", "b", "c"}}}}
	pair     = tensor.Signature{Inputs: []tensor.Spec{
		{Name: "user", DType: tensor.Int64, Shape: []int{-1}}, {Name: "price", DType: tensor.Float32, Shape: []int{-1, 1}},
		{Name: "title", DType: tensor.Bytes, Shape: []int{-1}},
	}}
)

var payloadModels = map[string]tensor.Signature{"score": score, "review": opinion, "words": labelled, "whole": whole, "big": big, "wide": wide, "pair": pair}

func of[T tensor.Element](shape []int, data ...T) []tensor.Tensor {
	return []tensor.Tensor{tensor.New("", shape, data)}
}

// payloads are messages, in JSON, and what they ask or a part of why they are refused. Those whose name ends in "(JSON)" have no form in
// protobuf.
var payloads = []struct {
	name, model, body string
	want              []tensor.Tensor
	refused           string
}{
	{"tensor", "score", `{"data":{"tensor":{"shape":[2,3],"values":[1,2,3,4,5.5,-6]}}}`, of([]int{2, 3}, float32(1), 2, 3, 4, 5.5, -6), ""},
	{"tensor of doubles", "wide", `{"data":{"tensor":{"shape":[1,3],"values":[0.1,2,1e300]}}}`, of([]int{1, 3}, .1, 2, 1e300), ""},
	{"tensor of odd numbers", "wide", `{"data":{"tensor":{"shape":[1,3],"values":["NaN","Infinity","-Infinity"]}}}`, of([]int{1, 3}, math.NaN(), math.Inf(1), math.Inf(-1)), ""},
	{"tensor in another order", "wide", `{"data":{"names":["c","a","b"],"tensor":{"shape":[1,3],"values":[3,1,2]}}}`, of([]int{1, 3}, 1., 2, 3), ""},
	{"tensor for whole numbers", "whole", `{"data":{"tensor":{"shape":[1,2],"values":[1.0,-2147483648]}}}`, of([]int{1, 2}, int32(1), -2147483648), ""},
	{"tensor with a fraction for whole numbers", "whole", `{"data":{"tensor":{"shape":[1,2],"values":[1,2.5]}}}`, nil, "data.tensor, row 0, value 1: 2.5 is no INT32, which the model takes"},
	{"tensor beyond whole numbers", "whole", `{"data":{"tensor":{"shape":[1,2],"values":[1,2147483648]}}}`, nil, "row 0, value 1: 2147483648.0 is no INT32"},
	{"tensor with a missing whole number", "whole", `{"data":{"tensor":{"shape":[1,2],"values":[1,"NaN"]}}}`, nil, "row 0, value 1: NaN is no INT32"},
	{"tensor beyond what doubles tell apart", "big", `{"data":{"tensor":{"shape":[2],"values":[9007199254740991,9007199254740993]}}}`, nil,
		"data.tensor, element 1: 9007199254740992.0 may not be the number that was meant"},
	{"tensor beyond float32", "score", `{"data":{"tensor":{"shape":[1,3],"values":[1,2,1e39]}}}`, nil, "1e+39 does not fit a 32-bit float"},
	{"tensor for texts", "review", `{"data":{"tensor":{"shape":[1],"values":[1]}}}`, nil, `data.tensor holds numbers; input "review" takes texts`},
	{"tensor of another size", "score", `{"data":{"tensor":{"shape":[2,3],"values":[1]}}}`, nil, "data.tensor has 1 values, but shape [2 3] needs 6"},
	{"tensor for several inputs", "pair", `{"data":{"tensor":{"shape":[1],"values":[1]}}}`, nil, `data.tensor carries one input; this model takes "user", "price", "title"`},

	{"ndarray", "score", `{"data":{"ndarray":[[1,2,3],[4,5.5,-6]]}}`, of([]int{2, 3}, float32(1), 2, 3, 4, 5.5, -6), ""},
	{"ndarray of what stands for numbers", "wide", `{"data":{"ndarray":[[null,true,false],["NaN","Infinity","-Infinity"]]}}`,
		of([]int{2, 3}, math.NaN(), 1, 0, math.NaN(), math.Inf(1), math.Inf(-1)), ""},
	{"ndarray of texts", "review", `{"data":{"ndarray":["good","bad é\n"]}}`, of([]int{2}, "good", "bad é\n"), ""},
	{"ndarray of rows of texts", "words", `{"data":{"names":["y","x"],"ndarray":[["1","2"],["","4"]]}}`, of([]int{2, 2}, "2", "1", "4", ""), ""},
	{"ndarray of whole numbers", "whole", `{"data":{"ndarray":[[1,2],[3.0,4]]}}`, of([]int{2, 2}, int32(1), 2, 3, 4), ""},
	{"ndarray of three dimensions", "wide", `{"data":{"ndarray":[[[1,2],[3,4],[5,6]]]}}`, of([]int{1, 3, 2}, 1., 2, 3, 4, 5, 6), ""},
	{"ndarray of one row", "wide", `{"data":{"ndarray":[1,2,3]}}`, of([]int{3}, 1., 2, 3), ""},
	{"ndarray of nothing", "wide", `{"data":{"ndarray":[]}}`, of([]int{0}, []float64{}...), ""},
	{"ndarray of empty rows", "wide", `{"data":{"ndarray":[[],[]]}}`, of([]int{2, 0}, []float64{}...), ""},
	{"ndarray with a text", "wide", `{"data":{"ndarray":[[1,2,3],[1,"two",3]]}}`, nil, `data.ndarray, row 1, value 1: `},
	{"ndarray with a number among texts", "words", `{"data":{"ndarray":[["a","b"],["c",1]]}}`, nil, `data.ndarray, row 1, value 1: `},
	{"ndarray with null among texts", "review", `{"data":{"ndarray":["a",null]}}`, nil, ` where a `},
	{"ndarray with an object", "wide", `{"data":{"ndarray":[[1,2,{"a":3}]]}}`, nil, ` where a number should be`},
	{"ndarray with short rows", "wide", `{"data":{"ndarray":[[1,2,3],[1,2]]}}`, nil, "row 1 has 2 values"},
	{"ndarray nested deeper", "wide", `{"data":{"ndarray":[[1,2,3],[[1],[2],[3]]]}}`, nil, "row 1 is nested deeper than what came before"},
	{"ndarray nested less", "wide", `{"data":{"ndarray":[[[1]],[2]]}}`, nil, "row 1 holds values where"},
	{"ndarray with an empty row", "wide", `{"data":{"ndarray":[[1,2,3],[]]}}`, nil, "row 1 has 0 values"},
	{"ndarray of too many dimensions", "wide", `{"data":{"ndarray":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}}`, nil, "more than 16 dimensions"},
	{"ndarray of wrong width for its names", "wide", `{"data":{"names":["a","b"],"ndarray":[[1,2,3]]}}`, nil, "data.names has 2 names, but a row has 3 values"},
	{"ndarray of unknown names", "wide", `{"data":{"names":["a","b","z"],"ndarray":[[1,2,3]]}}`, nil, `unknown: "z"; missing: "c"`},
	{"ndarray with more names than columns", "wide", `{"data":{"names":["a","b","c","d"],"ndarray":[[1,2,3,4]]}}`, nil, `unknown: "d"`},
	{"ndarray with some of the names", "wide", `{"data":{"names":["a","b"],"ndarray":[[1,2]]}}`, nil, `missing: "c"`},
	{"ndarray with names that count", "wide", `{"data":{"names":["t:0","t:1","t:2"],"ndarray":[[1,2,3]]}}`, of([]int{1, 3}, 1., 2, 3), ""},
	{"ndarray for several inputs", "pair", `{"data":{"ndarray":[[1]]}}`, nil, `data.ndarray carries one input`},

	{"tftensor of floats", "score", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"floatVal":[1,2.5,"NaN"]}}}`,
		of([]int{1, 3}, float32(1), 2.5, float32(math.NaN())), ""},
	{"tftensor of doubles", "score", `{"data":{"tftensor":{"dtype":"DT_DOUBLE","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"doubleVal":[1,2.5,0.1]}}}`,
		of([]int{1, 3}, float32(1), 2.5, .1), ""},
	{"tftensor of content", "wide", `{"data":{"names":["c","b","a"],"tftensor":{"dtype":"DT_DOUBLE","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"tensorContent":"AAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhA"}}}`,
		of([]int{1, 3}, 3., 2, 1), ""},
	{"tftensor of int32", "whole", `{"data":{"tftensor":{"dtype":"DT_INT32","tensorShape":{"dim":[{"size":"1"},{"size":"2"}]},"intVal":[-1,2]}}}`, of([]int{1, 2}, int32(-1), 2), ""},
	{"tftensor of int64", "big", `{"data":{"tftensor":{"dtype":"DT_INT64","tensorShape":{"dim":[{"size":"2"}]},"int64Val":["9007199254740993","-1"]}}}`, of([]int{2}, int64(9007199254740993), -1), ""},
	{"tftensor of int64 as floats", "wide", `{"data":{"names":["b","a","c"],"tftensor":{"dtype":"DT_INT64","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"int64Val":["2","1","3"]}}}`,
		of([]int{1, 3}, int64(1), 2, 3), ""},
	{"tftensor of int8 in another order", "wide", `{"data":{"names":["c","a","b"],"tftensor":{"dtype":"DT_INT8","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"tensorContent":"AwEC"}}}`,
		of([]int{1, 3}, int8(1), 2, 3), ""},
	{"tftensor of floats for whole numbers", "whole", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"2"}]},"floatVal":[1,-2]}}}`, of([]int{1, 2}, int32(1), -2), ""},
	{"tftensor of a fraction for whole numbers", "whole", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"2"}]},"floatVal":[1,2.5]}}}`, nil, "data.tftensor, row 0, value 1: 2.5 is no INT32"},
	{"tftensor of bytes", "whole", `{"data":{"tftensor":{"dtype":"DT_UINT8","tensorShape":{"dim":[{"size":"1"},{"size":"2"}]},"tensorContent":"Af8="}}}`, of([]int{1, 2}, uint8(1), 255), ""},
	{"tftensor of one int16", "big", `{"data":{"tftensor":{"dtype":"DT_INT16","tensorShape":{"dim":[{"size":"1"}]},"intVal":[-5]}}}`, of([]int{1}, int16(-5)), ""},
	{"tftensor of bools", "wide", `{"data":{"names":["b","a","c"],"tftensor":{"dtype":"DT_BOOL","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"boolVal":[true,false,true]}}}`,
		of([]int{1, 3}, false, true, true), ""},
	{"tftensor of texts", "review", `{"data":{"tftensor":{"dtype":"DT_STRING","tensorShape":{"dim":[{"size":"2"}]},"stringVal":["Z29vZA==","/w=="]}}}`, of([]int{2}, "good", "\xff"), ""},
	{"tftensor scalar", "big", `{"data":{"tftensor":{"dtype":"DT_INT32","intVal":[7]}}}`, of([]int{}, int32(7)), ""},
	{"tftensor by number", "big", `{"data":{"tftensor":{"dtype":3,"tensor_shape":{"dim":[{"size":1}]},"int_val":[7]}}}`, of([]int{1}, int32(7)), ""},
	{"tftensor without values", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]}}}}`, nil, "data.tftensor has 0 values, but shape [1 3] needs 3"},
	{"tftensor with one value for all", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"floatVal":[1]}}}`, nil, "has 1 values, but shape [1 3] needs 3"},
	{"tftensor of other content", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"tensorContent":"AAAA"}}}`, nil, "3 bytes of binary data, but 3 values of FP32 take 12"},
	{"tftensor of texts as content", "review", `{"data":{"tftensor":{"dtype":"DT_STRING","tensorShape":{"dim":[{"size":"1"}]},"tensorContent":"AAAA"}}}`, nil, "holds texts as content"},
	{"tftensor without a type", "wide", `{"data":{"tftensor":{"tensorShape":{"dim":[{"size":"1"}]}}}}`, nil, "data.tftensor has no dtype"},
	{"tftensor of an unknown type", "wide", `{"data":{"tftensor":{"dtype":8}}}`, nil, "dtype 8 is not supported"},
	{"tftensor of a type without a list", "wide", `{"data":{"tftensor":{"dtype":"DT_UINT64","tensorShape":{"dim":[{"size":"1"}]},"uint64Val":["1"]}}}`, nil, "DT_UINT64 as a list is not supported"},
	{"tftensor of unknown rank", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"unknownRank":true}}}}`, nil, "unknown rank"},
	{"tftensor of a negative size", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"-1"}]}}}}`, nil, "-1 cannot be the size of a dimension"},
	{"tftensor of a huge shape", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"65536"},{"size":"65536"}]},"floatVal":[1]}}}`, nil, "too large"},
	{"tftensor beyond its type", "big", `{"data":{"tftensor":{"dtype":"DT_INT8","tensorShape":{"dim":[{"size":"1"}]},"intVal":[300]}}}`, nil, "element 0: 300 does not fit its dtype"},
	{"tftensor with strings for numbers (JSON)", "big", `{"data":{"tftensor":{"dtype":"DT_INT64","tensorShape":{"dim":[{"size":"1"}]},"int64Val":["1.5"]}}}`, nil, `"1.5" is not a whole number of 64 bits`},
	{"tftensor nested (JSON)", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"1"},{"size":"3"}]},"floatVal":[[1,2,3]]}}}`, nil, "floatVal is nested"},
	{"tftensor of a made-up type (JSON)", "wide", `{"data":{"tftensor":{"dtype":"DT_HALF"}}}`, nil, `dtype "DT_HALF" is not supported`},
	{"tftensor of no base64 (JSON)", "wide", `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorContent":"?"}}}`, nil, "tensorContent is not base64"},

	{"strData", "review", `{"strData":"so \"good\""}`, of([]int{1}, `so "good"`), ""},
	{"strData of one column", "words", `{"strData":"x"}`, of([]int{1, 1}, "x"), ""},
	{"strData, empty", "review", `{"strData":""}`, of([]int{1}, ""), ""},
	{"strData for numbers", "score", `{"strData":"hello"}`, nil, `strData is one text; input "input" takes numbers, FP32`},
	{"strData for several inputs", "pair", `{"strData":"x"}`, nil, "strData carries one input"},
	{"binData", "review", `{"binData":"AP/+"}`, of([]int{1}, "\x00\xff\xfe"), ""},
	{"binData for numbers", "score", `{"binData":"AA=="}`, nil, `binData is one text; input "input" takes numbers`},
	{"binData of web-safe base64 (JSON)", "review", `{"binData":"AP_-"}`, of([]int{1}, "\x00\xff\xfe"), ""},
	{"binData of no base64 (JSON)", "review", `{"binData":"A!"}`, nil, "binData is not base64"},

	{"jsonData, nested", "score", `{"jsonData":[[1,2,3],[4,5.5,null]]}`, of([]int{2, 3}, float32(1), 2, 3, 4, 5.5, float32(math.NaN())), ""},
	{"jsonData, texts", "review", `{"jsonData":["a","b"]}`, of([]int{2}, "a", "b"), ""},
	{"jsonData, one text", "review", `{"jsonData":"a"}`, of([]int{1}, "a"), ""},
	{"jsonData, one number", "big", `{"jsonData":5}`, of([]int{1}, int64(5)), ""},
	{"jsonData, a row by column", "score", `{"jsonData":{"b":2,"a":1,"c":null}}`, of([]int{1, 3}, float32(1), 2, float32(math.NaN())), ""},
	{"jsonData, columns", "wide", `{"jsonData":{"a":[1,4],"c":[3,6],"b":[2,5]}}`, of([]int{2, 3}, 1., 2, 3, 4, 5, 6), ""},
	{"jsonData, records", "wide", `{"jsonData":[{"a":1,"b":2,"c":3},{"c":6,"b":5,"a":4}]}`, of([]int{2, 3}, 1., 2, 3, 4, 5, 6), ""},
	{"jsonData, records of texts", "words", `{"jsonData":[{"y":"1","x":"2"},{"x":"3","y":"4"}]}`, of([]int{2, 2}, "2", "1", "3", "4"), ""},
	{"jsonData, nested, in another order (JSON)", "wide", `{"data":{"names":["c","a","b"]},"jsonData":[[3,1,2]]}`, of([]int{1, 3}, 1., 2, 3), ""},
	{"jsonData by column beside names (JSON)", "wide", `{"data":{"names":["c","b","a"]},"jsonData":{"a":1,"b":2,"c":3}}`, nil, "data.names is given, but jsonData names its values itself"},
	{"jsonData of records beside names (JSON)", "wide", `{"jsonData":[{"a":1,"b":2,"c":3}],"data":{"names":["c","b","a"]}}`, nil, "names its values itself"},
	{"jsonData by the input's name beside names (JSON)", "wide", `{"data":{"names":["c","b","a"]},"jsonData":{"d":[[3,2,1]]}}`, nil, "names its values itself"},
	{"jsonData, empty columns", "wide", `{"jsonData":{"a":[],"b":[],"c":[]}}`, of([]int{0, 3}, []float64{}...), ""},
	{"jsonData by the input's name", "wide", `{"jsonData":{"d":[[1,2,3]]}}`, []tensor.Tensor{tensor.New("d", []int{1, 3}, []float64{1, 2, 3})}, ""},
	{"jsonData for several inputs", "pair", `{"jsonData":{"title":["x","y"],"user":[1,2.0],"price":[0.5,"NaN"]}}`, []tensor.Tensor{
		tensor.New("title", []int{2}, []string{"x", "y"}), tensor.New("user", []int{2}, []int64{1, 2}), tensor.New("price", []int{2, 1}, []float32{.5, float32(math.NaN())}),
	}, ""},
	{"jsonData of one value for several inputs", "pair", `{"jsonData":{"user":1,"price":0.5,"title":"x"}}`, []tensor.Tensor{
		tensor.New("price", []int{1, 1}, []float32{.5}), tensor.New("title", []int{1}, []string{"x"}), tensor.New("user", []int{1}, []int64{1}),
	}, ""},
	{"jsonData with an unknown input", "pair", `{"jsonData":{"who":[1]}}`, nil, `jsonData: unknown input "who"; the model takes "user", "price", "title"`},
	{"jsonData with a fraction for several inputs", "pair", `{"jsonData":{"user":[1.5]}}`, nil, `jsonData, "user", element 0: 1.5 is no INT64`},
	{"jsonData with a text for several inputs", "pair", `{"jsonData":{"user":["a"]}}`, nil, `jsonData, input "user", element 0`},
	{"jsonData of rows for several inputs", "pair", `{"jsonData":[{"user":1}]}`, nil, "must be an object"},
	{"jsonData with an input twice (JSON)", "pair", `{"jsonData":{"user":[1],"user":[1]}}`, nil, `the key "user" is given twice`},
	{"jsonData with a column twice (JSON)", "wide", `{"jsonData":[{"a":1,"a":1}]}`, nil, `jsonData, row 0: the column "a" is given twice`},
	{"jsonData without a column", "wide", `{"jsonData":[{"a":1,"b":2,"c":3},{"b":5}]}`, nil, `jsonData, row 1: missing columns: "a", "c"`},
	{"jsonData with an unknown column", "wide", `{"jsonData":{"z":1}}`, nil, `jsonData: the model has no column "z"`},
	{"jsonData with a row that is none", "wide", `{"jsonData":[{"a":1,"b":2,"c":3},[1,2,3]]}`, nil, "where an object should be"},
	{"jsonData with a text in a column", "wide", `{"jsonData":[{"a":1,"b":"two","c":3}]}`, nil, `jsonData, row 0, column "b"`},
	{"jsonData of uneven columns", "wide", `{"jsonData":{"a":[1,2],"b":[1],"c":[1,2]}}`, nil, `the column "b" has 1 values, the column "a" has 2`},
	{"jsonData of a nested column", "wide", `{"jsonData":{"a":[[1]],"b":[1],"c":[1]}}`, nil, `column "a"`},
	{"jsonData of nothing", "wide", `{"jsonData":{}}`, nil, `missing columns: "a", "b", "c"`},
	{"jsonData by column for a model without names", "whole", `{"jsonData":[{"a":1}]}`, nil, "have no names"},
	{"jsonData beyond float32", "score", `{"jsonData":{"a":1e39,"b":1,"c":1}}`, nil, "jsonData, row 0, value 0: 1e+39 does not fit a 32-bit float"},
	{"jsonData of a number for texts", "review", `{"jsonData":1}`, nil, "where a string should be"},
	{"jsonData of a row for texts", "review", `{"jsonData":[1]}`, nil, "where a string should be"},

	{"customData (JSON)", "score", `{"customData":{"@type":"type.googleapis.com/x"}}`, nil, "customData is not supported"},
	{"jsonData null", "big", `{"jsonData":null}`, nil, "the request has no data"},
	{"no payload", "score", `{"meta":{"puid":"1"}}`, nil, "the request has no data"},
	{"data without a payload", "score", `{"data":{"names":["a"]}}`, nil, "the request has no data"},
}

// fits tells what of a request is not as it should be.
func fits(x Exchange, want []tensor.Tensor) error {
	got := x.Request().Inputs
	if len(got) != len(want) {
		return fmt.Errorf("got %d inputs, want %d", len(got), len(want))
	}
	for i := range want {
		at := i
		for j := range got { // an object has no order
			if got[j].Name == want[i].Name {
				at = j
			}
		}
		if !same(got[at], want[i]) {
			return fmt.Errorf("got %v, want %v", got[at], want[i])
		}
	}
	return nil
}

func TestSeldonReadsEveryPayload(t *testing.T) {
	for _, tt := range payloads {
		t.Run(tt.name, func(t *testing.T) {
			x, err := Seldon{}.Decode([]byte(tt.body), payloadModels[tt.model], Limits{})
			switch {
			case tt.refused != "":
				if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
			case err != nil:
				t.Error(err)
			default:
				if err := fits(x, tt.want); err != nil {
					t.Error(err)
				}
				wellFormed(t, x, len(tt.body))
			}
		})
	}
}

func TestSeldonRefusesEveryMessageCutShort(t *testing.T) {
	for _, tt := range payloads {
		for n := range len(tt.body) {
			if _, err := (Seldon{}).Decode([]byte(tt.body)[:n], payloadModels[tt.model], Limits{}); err == nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%s, cut to %s: %v", tt.name, tt.body[:n], err)
			}
		}
	}
}

func TestSeldonRepeatsWhatTheRequestsMetaSays(t *testing.T) {
	body := `{"meta":{"puid":"p","routing":{"r":1},"requestPath":{"first":"a:1","installs":"forged:9","second":"b:2","first":"c:3"},` +
		`"metrics":[{"key":"k","type":"GAUGE","value":1.5}],"tags":{"t":[1,{"u":null}]},"other":1},"data":{"ndarray":[[1,2,3]]}}`
	want := `"meta":{"puid":"p","requestPath":{"installs":"installs:3","first":"c:3","second":"b:2"},"tags":{"t":[1,{"u":null}]},"metrics":[{"key":"k","type":"GAUGE","value":1.5}]}}`
	if got := exchange(Seldon{}, score, []byte(body)); !strings.HasSuffix(string(got), want) {
		t.Errorf("got %s, want %s", got, want)
	}
	many := make(map[string]string)
	for i := range maxSeldonNodes + 1 {
		many[fmt.Sprint(i)] = "x"
	}
	path, _ := json.Marshal(many)
	for meta, want := range map[string]string{
		`{"metrics":{}}`:                       "meta.metrics is not an array",
		`{"metrics":[NaN]}`:                    "meta.metrics: JSON at byte 1",
		`{"requestPath":{"x":1}}`:              "where a string should be",
		`{"requestPath":` + string(path) + `}`: "more than 100 entries",
		`{"puid":"a","puid":"b"}`:              `"puid" is given twice`,
	} {
		_, err := Seldon{}.Decode([]byte(`{"data":{"ndarray":[[1,2,3]]},"meta":`+meta+`}`), score, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", meta, err, want)
		}
	}
}

func TestSeldonAnswersInTheFormThatTheRequestCalledFor(t *testing.T) {
	numbers := tensor.New("o", []int{2, 1}, []float32{.1, 2})
	number := func(o tensor.Tensor) tensor.Tensor { return o }
	const asFloats = `"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"2"},{"size":"1"}]},"tensorContent":"zczMPQAAAEA="}`
	tf := `{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"3"}]},"floatVal":[1,2,3]}}}`
	for _, tt := range []struct {
		model, body string
		output      tensor.Tensor
		want        string
	}{
		{"score", `{"data":{"tensor":{"shape":[3],"values":[1,2,3]}}}`, numbers, `"names":["t:0"],"tensor":{"shape":[2,1],"values":[0.10000000149011612,2.0]}`},
		{"score", `{"data":{"ndarray":[1,2,3]}}`, numbers, `"names":["t:0"],"ndarray":[[0.10000000149011612],[2.0]]`},
		{"score", tf, numbers, `"names":["t:0"],` + asFloats},
		{"score", tf, number(tensor.New("o", nil, []float32{.1})), `"names":[],"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[]},"floatVal":[0.1]}`},
		{"score", tf, number(tensor.New("o", []int{1}, []int64{1 << 60})), `"names":[],"tftensor":{"dtype":"DT_INT64","tensorShape":{"dim":[{"size":"1"}]},"int64Val":["1152921504606846976"]}`},
		{"score", tf, number(tensor.New("o", []int{1}, []uint8{7})), `"names":[],"tftensor":{"dtype":"DT_UINT8","tensorShape":{"dim":[{"size":"1"}]},"intVal":[7]}`},
		{"score", tf, number(tensor.New("o", []int{0}, []int16{})), `"names":[],"tftensor":{"dtype":"DT_INT16","tensorShape":{"dim":[{"size":"0"}]},"tensorContent":""}`},
		{"score", tf, number(tensor.New("o", []int{2}, []bool{true, false})), `"names":[],"ndarray":[true,false]`},
		{"score", tf, number(tensor.New("o", []int{1}, []string{"a"})), `"names":[],"ndarray":["a"]`},
		{"review", `{"strData":"x"}`, numbers, `"names":["t:0"],"tensor":{"shape":[2,1],"values":[0.10000000149011612,2.0]}`},
		{"review", `{"strData":"x"}`, number(tensor.New("o", []int{1}, []string{"a"})), `"names":[],"ndarray":["a"]`},
		{"review", `{"binData":"AA=="}`, numbers, `"names":["t:0"],"tensor":{"shape":[2,1],"values":[0.10000000149011612,2.0]}`},
		{"score", `{"jsonData":[1,2,3]}`, numbers, `"names":["t:0"],"tensor":{"shape":[2,1],"values":[0.10000000149011612,2.0]}`},
	} {
		x, err := Seldon{}.Decode([]byte(tt.body), payloadModels[tt.model], Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Answer(nil, Meta{}, &tensor.Response{Outputs: []tensor.Tensor{tt.output}})
		if want := `{"data":{` + tt.want + `},"meta":{}}`; err != nil || string(got) != want || !json.Valid(got) {
			t.Errorf("%s: got %s, %v, want %s", tt.body, got, err, want)
		}
	}
	x, err := Seldon{}.Decode([]byte(tf), score, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []tensor.Tensor{tensor.New("o", []int{2}, []float64{1, math.NaN()}), tensor.New("o", []int{1}, []float32{float32(math.Inf(1))})} {
		if _, err := x.Answer(nil, Meta{}, &tensor.Response{Outputs: []tensor.Tensor{o}}); fault.KindOf(err) != fault.Internal || err == nil {
			t.Errorf("%v is answered: %v", o, err)
		}
	}
}

func TestSeldonExplains(t *testing.T) {
	d := Seldon{Explain: true}
	if _, err := d.Decode([]byte(`{"data":{"ndarray":[[1,2,3]]}}`), score, Limits{}); !errors.Is(err, ErrCannotExplain) {
		t.Errorf("got %v", err)
	}
	x, err := d.Decode([]byte(`{"data":{"names":["\"price\"","age"],"ndarray":[[1,2]]}}`), explained, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r := x.Request(); fmt.Sprint(r.Outputs) != "[contributions margin]" || !same(r.Inputs[0], tensor.New("", []int{1, 2}, []float32{2, 1})) {
		t.Errorf("asked %v", r)
	}
	got, err := x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{
		tensor.New(Contributions, []int{1, 3}, []float32{.5, .25, 1}), tensor.New(Margin, []int{1}, []float32{1.75}),
	}})
	want := `{"explanations":[{"margin":1.75,"base":1.0,"contributions":{"age":0.5,"\"price\"":0.25}}],"names":["age","\"price\""],"model":"installs","version":"3"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// TestSeldonPayloadsSayTheSame writes the same numbers in every form.
func TestSeldonPayloadsSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 5).Draw(t, "rows")
		flat := rapid.SliceOfN(rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32), rows*3, rows*3).Draw(t, "values")
		nested, records, columns := make([][]float32, rows), make([]map[string]float32, rows), map[string][]float32{}
		for r := range rows {
			row := flat[3*r : 3*r+3]
			nested[r], records[r] = row, map[string]float32{"a": row[0], "b": row[1], "c": row[2]}
			for name, v := range records[r] {
				columns[name] = append(columns[name], v)
			}
		}
		want := tensor.New("", []int{rows, 3}, flat)
		content := appendBinary(nil, &want)
		shape := map[string]any{"dim": []any{map[string]int{"size": rows}, map[string]string{"size": "3"}}}
		for _, message := range []any{
			map[string]any{"data": map[string]any{"tensor": map[string]any{"shape": want.Shape, "values": flat}}},
			map[string]any{"data": map[string]any{"ndarray": nested}},
			map[string]any{"data": map[string]any{"tftensor": map[string]any{"dtype": "DT_FLOAT", "tensorShape": shape, "floatVal": flat}}},
			map[string]any{"data": map[string]any{"tftensor": map[string]any{"tensorContent": content, "tensorShape": shape, "dtype": "DT_FLOAT"}}},
			map[string]any{"jsonData": nested}, map[string]any{"jsonData": records}, map[string]any{"jsonData": columns},
		} {
			body, err := json.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			x, err := Seldon{}.Decode(body, score, Limits{})
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if err := fits(x, []tensor.Tensor{want}); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
		}
	})
}

package wire

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// feedbackMessageName is what errors call a message that is none.
const feedbackMessageName = "Feedback"

// SeldonFeedbackJSON appends the JSON that Seldon's REST feedback call takes for body, a seldon.protos.Feedback: the puid of the response,
// the reward, and what is true. The request is left out: nobody reads it. A NaN or an infinity becomes a token that JSON does not have,
// as Python writes it. A body that is no such message is Invalid; dst then holds a part of the JSON.
func SeldonFeedbackJSON(dst, body []byte) ([]byte, error) {
	var puid string
	var reward float32
	var truth [][]byte // its parts
	f := protoFields{message: feedbackMessageName, left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 2<<3 | delimited:
			f.refuse(puidOf(f.inside(), &puid))
		case 3<<3 | fixed32:
			reward = math.Float32frombits(uint32(f.number))
		case 4<<3 | delimited:
			truth = append(truth, f.bytes)
		}
	}
	if f.err != nil {
		return dst, f.err
	}
	dst = append(dst, '{')
	if puid != "" {
		dst = appendText(append(dst, `"response":{"meta":{"puid":`...), puid)
		dst = append(dst, `}},`...)
	}
	if reward != 0 || truth == nil { // proto3 does not tell a reward of 0 from none
		dst = appendLoose(append(dst, `"reward":`...), float64(reward), 32)
		dst = append(dst, ',')
	}
	if truth != nil {
		var err error
		dst = append(dst, `"truth":{`...)
		if dst, err = appendTruth(dst, truth); err != nil {
			return dst, err
		}
		dst = append(dst, `},`...)
	}
	dst[len(dst)-1] = '}'
	return dst, nil
}

// puidOf reads meta.puid of a SeldonMessage.
func puidOf(message protoFields, puid *string) error {
	for tag := message.next(); tag != 0; tag = message.next() {
		if tag != 2<<3|delimited {
			continue
		}
		meta := message.inside()
		for tag := meta.next(); tag != 0; tag = meta.next() {
			if tag == 1<<3|delimited {
				*puid = meta.text()
			}
		}
		message.refuse(meta.err)
	}
	return message.err
}

// appendTruth appends the payload of a SeldonMessage, which may be in parts, as a field of its JSON form. A form that no label is read
// from is named and no more.
func appendTruth(dst []byte, parts [][]byte) ([]byte, error) {
	var names []byte // in JSON, each behind a comma
	var payload []byte
	field := func(f *protoFields, name string) {
		if payload != nil {
			f.refuse(fault.Invalidf("truth holds more than one payload"))
		}
		payload = append(append(append(payload, '"'), name...), `":`...)
	}
	for _, part := range parts {
		f := protoFields{message: feedbackMessageName, left: part}
		for tag := f.next(); tag != 0; tag = f.next() {
			switch tag {
			case 3<<3 | delimited:
				data := f.inside()
				for tag := data.next(); tag != 0; tag = data.next() {
					switch tag {
					case 1<<3 | delimited:
						names = appendText(append(names, ','), data.text())
					case 2<<3 | delimited:
						field(&data, "tensor")
						payload = appendTensorJSON(payload, &data)
					case 3<<3 | delimited:
						field(&data, "ndarray")
						var err error
						payload, err = appendListJSON(payload, data.bytes, 0)
						data.refuse(err)
					case 4<<3 | delimited:
						field(&data, "tftensor")
						payload = append(payload, "{}"...)
					}
				}
				f.refuse(data.err)
			case 4<<3 | delimited:
				field(&f, "binData")
				payload = append(payload, `""`...)
			case 5<<3 | delimited:
				field(&f, "strData")
				payload = appendText(payload, f.text())
			case 6<<3 | delimited:
				field(&f, "jsonData")
				var err error
				payload, err = appendValueJSON(payload, f.bytes, 0)
				f.refuse(err)
			case 7<<3 | delimited:
				field(&f, "customData")
				payload = append(payload, "{}"...)
			}
		}
		if f.err != nil {
			return dst, f.err
		}
	}
	inData := false
	for _, name := range []string{`"tensor"`, `"ndarray"`, `"tftensor"`} {
		inData = inData || len(payload) > len(name) && string(payload[:len(name)]) == name
	}
	if !inData {
		return append(dst, payload...), nil
	}
	dst = append(dst, `"data":{`...)
	if names != nil {
		dst = append(append(append(dst, `"names":[`...), names[1:]...), `],`...)
	}
	return append(append(dst, payload...), '}'), nil
}

// appendTensorJSON appends the tensor that the present field of f holds.
func appendTensorJSON(dst []byte, f *protoFields) []byte {
	var shape, values []byte // each behind a comma
	size := func(v uint64) { shape = strconv.AppendInt(append(shape, ','), int64(int32(v)), 10) }
	value := func(v uint64) { values = appendLoose(append(values, ','), math.Float64frombits(v), 64) }
	t := f.inside()
	for tag := t.next(); tag != 0; tag = t.next() {
		packed := t.bytes
		switch tag {
		case 1<<3 | varint:
			size(t.number)
		case 2<<3 | fixed64:
			value(t.number)
		case 1<<3 | delimited:
			for len(packed) > 0 {
				v, n := protowire.ConsumeVarint(packed)
				if n < 0 {
					t.broken(n)
					break
				}
				size(v)
				packed = packed[n:]
			}
		case 2<<3 | delimited:
			for len(packed) > 0 {
				v, n := protowire.ConsumeFixed64(packed)
				if n < 0 {
					t.broken(n)
					break
				}
				value(v)
				packed = packed[n:]
			}
		}
	}
	f.refuse(t.err)
	dst = append(dst, `{"shape":[`...)
	dst = append(dst, shape[min(1, len(shape)):]...)
	dst = append(dst, `],"values":[`...)
	dst = append(dst, values[min(1, len(values)):]...)
	return append(dst, `]}`...)
}

// SeldonFeedbackAnswer returns answer, what the REST feedback call answers, as a seldon.protos.SeldonMessage: the puid and the tags of
// its meta. A text that is no such answer is Internal.
func SeldonFeedbackAnswer(answer []byte) ([]byte, error) {
	s := jsonscan.New(answer)
	var out []byte
	for s.Object(); s.Next(); {
		if string(s.Key()) != "meta" {
			s.Skip()
			continue
		}
		var meta int
		out, meta = openProto(out, 2)
		for s.Object(); s.Next(); {
			switch string(s.Key()) {
			case "puid":
				out = protowire.AppendBytes(append(out, byte(1<<3|delimited)), s.Bytes())
			case "tags":
				for s.Object(); s.Next(); {
					out = appendEntry(out, 2, s)
				}
			default:
				s.Skip()
			}
		}
		out = closeProto(out, meta)
	}
	if s.End(); s.Err() != nil {
		return nil, fault.Internalf("the answer to feedback: %s", s.Err().Error())
	}
	return out, nil
}

package wire

// InferenceTarget returns the model and the version that an inference.ModelInferRequest names; version is "" where it names none. It
// reads no tensor, so that a server can find whom the request is for before it decodes it.
func InferenceTarget(body []byte) (model, version string, err error) {
	var name, number []byte // the last of each counts
	f := protoFields{message: "ModelInferRequest", left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			name = f.chars()
		case 2<<3 | delimited:
			number = f.chars()
		}
	}
	if f.err != nil {
		return "", "", f.err
	}
	return string(name), string(number), nil
}

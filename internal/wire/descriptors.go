package wire

import _ "embed" // for the descriptors

//go:embed proto/descriptors.binpb
var descriptors []byte

// Descriptors returns a google.protobuf.FileDescriptorSet of the files in the folder proto and of those that they import, each after
// what it imports: what gRPC's reflection tells. The caller must not change it. scripts/descriptors.sh makes it from the files.
func Descriptors() []byte { return descriptors }

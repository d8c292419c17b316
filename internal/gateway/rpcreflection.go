package gateway

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	v1reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	v1alphareflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/serin-ml/serin/internal/wire"
)

// files finds descriptors: ours, and those of what else is registered.
type files struct{ ours *protoregistry.Files }

// FindFileByPath implements protodesc.Resolver.
func (f files) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if d, err := f.ours.FindFileByPath(path); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements protodesc.Resolver.
func (f files) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := f.ours.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

// reflect registers reflection, by which tools such as grpcurl learn what can be called.
func reflect(s *grpc.Server) {
	var set descriptorpb.FileDescriptorSet
	ours := new(protoregistry.Files)
	if err := proto.Unmarshal(wire.Descriptors(), &set); err == nil { // a test holds them against the files that they were made from
		if files, err := protodesc.NewFiles(&set); err == nil {
			ours = files
		}
	}
	o := reflection.ServerOptions{Services: s, DescriptorResolver: files{ours}}
	v1reflection.RegisterServerReflectionServer(s, reflection.NewServerV1(o))
	v1alphareflection.RegisterServerReflectionServer(s, reflection.NewServer(o))
}

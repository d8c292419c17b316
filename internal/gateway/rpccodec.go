package gateway

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec of what is not ours
	"google.golang.org/grpc/mem"
)

// Codec returns what a gRPC server of the data plane reads and writes messages with: for the methods of RegisterGRPC their bytes as they
// are, for all others protobuf.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2. Buffers are released: they are a handler's answer, and nobody's after that.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *buffers:
		answer := mem.BufferSlice{mem.Copy(m.out, mem.DefaultBufferPool())}
		m.release()
		return answer, nil
	default:
		return c.CodecV2.Marshal(v)
	}
}

// Unmarshal implements encoding.CodecV2. A message that came in one piece is not copied.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ours := v.(*buffers)
	if !ours {
		return c.CodecV2.Unmarshal(data, v)
	}
	b.rpc.message = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}

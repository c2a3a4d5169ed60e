"""The Open Inference Protocol over gRPC, on the same engine. Only it needs grpc and protobuf."""

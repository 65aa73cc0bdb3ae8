// Command accesslog is a gRPC access log service, as tests need one:
//
//	accesslog ADDRESS
//
// It writes each entry that an Envoy sends, and of which log it is, as a line of JSON to its standard output.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"sync"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

type service struct {
	accesslog.UnimplementedAccessLogServiceServer
	sync.Mutex
}

// StreamAccessLogs reads one stream, of which there is one for each of an Envoy's threads.
func (s *service) StreamAccessLogs(stream accesslog.AccessLogService_StreamAccessLogsServer) error {
	name := ""
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		// Only a stream's first message says it.
		if identifier := message.GetIdentifier(); identifier != nil {
			name = identifier.GetLogName()
		}
		for _, entry := range message.GetHttpLogs().GetLogEntry() {
			text, err := protojson.Marshal(entry)
			if err != nil {
				return err
			}
			line, err := json.Marshal(map[string]any{"log": name, "entry": json.RawMessage(text)})
			if err != nil {
				return err
			}
			s.Lock()
			fmt.Fprintln(os.Stdout, string(line))
			s.Unlock()
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: accesslog ADDRESS")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	accesslog.RegisterAccessLogServiceServer(server, &service{})
	log.Fatal(server.Serve(listener))
}

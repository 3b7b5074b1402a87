// Ask a local edge-runtime server what somebody wants:
//
//	go run ask.go /run/edge-runtime/edge.sock "turn off the kitchen lights" ["another text" …]
//
// Needs Go 1.19 or later and nothing else. Prints each intent and its slots. Status 1: the server cannot be reached, or
// refused a text.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const longestReply = 4 << 20 // bytes; limits.reply_bytes of hello

type request struct {
	ID   int    `json:"id"`
	Op   string `json:"op"`
	Text string `json:"text"`
}

type reply struct {
	ID     *int `json:"id"`
	Result struct {
		Intent *string `json:"intent"`
		Slots  []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"slots"`
	} `json:"result"`
	Error *failure `json:"error"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

// ask sends all texts at once and gives their replies in the texts' order; the server may answer in any.
func ask(path string, texts []string) ([]reply, error) {
	connection, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	encoder := json.NewEncoder(connection) // ends each message with a line feed
	for id, text := range texts {
		if err := encoder.Encode(request{id, "understand", text}); err != nil {
			return nil, err
		}
	}
	found := make([]reply, len(texts))
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, longestReply)
	for left := len(texts); left > 0; left-- {
		if !lines.Scan() {
			if lines.Err() != nil {
				return nil, lines.Err()
			}
			return nil, errors.New("the server ended the connection")
		}
		var one reply
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, err
		}
		if one.ID == nil || *one.ID < 0 || *one.ID >= len(texts) { // concerns the whole connection
			if one.Error != nil {
				return nil, one.Error
			}
			return nil, errors.New("the server answered something else")
		}
		found[*one.ID] = one
	}
	return found, nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: ask SOCKET TEXT…")
		os.Exit(2)
	}
	replies, err := ask(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error", err)
		os.Exit(1)
	}
	status := 0
	for _, one := range replies {
		switch {
		case one.Error != nil:
			fmt.Fprintln(os.Stderr, "error", one.Error)
			status = 1
		case one.Result.Intent == nil:
			fmt.Println("not recognised")
		default:
			fmt.Println(*one.Result.Intent)
			for _, slot := range one.Result.Slots {
				fmt.Printf("  %s: %s\n", slot.Type, slot.Text)
			}
		}
	}
	os.Exit(status)
}

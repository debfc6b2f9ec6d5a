package mooncake

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Keys are taken as they are written.
func TestKeysAreExact(t *testing.T) {
	for text, want := range map[string]int64{
		`{"timestamp":0,"input_length":1,"hash_ids":[5],"Timestamp":7,"TIMESTAMP":"x","Input_Length":9,"HASH_IDS":null}`:           0,
		`{"Hash_ids":{},"timestamp" : 1 , "input_length":1,"hash_ids":[5],"x":{"timestamp":7,"y":["}\"",{"timestamp":8}]}}`:        1,
		`{"\u0074imestamp":2,"input_length":1,"hash_ids":[5],"a\"":"{","\\":1e5}`:                                                  2,
		"\t{ \"timestamp\"\t:\t2, \"timestamp\" : 3\t, \"input_length\":1,\"hash_ids\":[5],\"long\":\"ſ\",\"tımestamp\":false }\r": 3,
	} {
		r, err := parse([]byte(text), 1)
		if err != nil || r.Timestamp.Milliseconds() != want || r.InputLength != 1 || len(r.HashIDs) != 1 || r.HashIDs[0] != 5 {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	if _, err := parse([]byte(`{"Timestamp":0,"input_length":1,"hash_ids":[5]}`), 1); err == nil || err.Error() != "timestamp: missing" {
		t.Errorf("another key is taken: %v", err)
	}
}

// FuzzLine: the four values are those that a map of all keys has, and no other ones.
func FuzzLine(f *testing.F) {
	for _, text := range []string{
		`{"timestamp":0,"input_length":3,"output_length":null,"hash_ids":[1,2],"x":{"y":"}"}}`, `{}`, `null`, `[]`, `{"a":[{}],"":0}`,
		` { "hash_ids" : null , "hash_ids":[] , "\u0068ash_ids" : [ 7 ] } `, `{"timestamp":1.5}`, `{"timestamp":true,"b":"\\"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got line
		err := json.Unmarshal(text, &got)
		var all map[string]json.RawMessage
		if badMap := json.Unmarshal(text, &all); badMap != nil {
			if err == nil {
				t.Fatalf("%s is taken, but %v", text, badMap)
			}
			return
		}
		var want line
		sound := true
		for key, to := range map[string]any{
			"timestamp": &want.Timestamp, "input_length": &want.InputLength, "output_length": &want.OutputLength, "hash_ids": &want.HashIDs,
		} {
			if value, ok := all[key]; ok {
				sound = json.Unmarshal(value, to) == nil && sound
			}
		}
		if !sound && err == nil {
			t.Fatalf("%s is taken", text)
		}
		if err != nil {
			return // an earlier value of the same key may be at fault
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", text, diff)
		}
	})
}

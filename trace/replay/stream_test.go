package replay_test

import (
	"encoding/binary"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/trace"
)

// Streams made by hand.

func text(b []byte, list ...string) []byte {
	for _, s := range list {
		b = msgp.AppendString(b, s)
	}
	return b
}

func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func testHeader() []byte {
	b := text(msgp.AppendMapHeader(nil, 9), "type", "header", "magic")
	b = text(msgp.AppendBytes(b, []byte("LMCT")), "format_version")
	b = text(msgp.AppendInt(b, 1), "level", "storage", "trace_schema_version")
	b = text(msgp.AppendInt(b, 1), "t_mono_start")
	b = text(msgp.AppendFloat64(b, 1), "t_wall_start")
	b = text(msgp.AppendFloat64(b, 1), "sm_config_json", "", "sm_config_digest", "")
	return frame(b)
}

func record(name string, mono float64) []byte {
	b := text(msgp.AppendMapHeader(nil, 5), "type", "record", "t_mono")
	b = text(msgp.AppendFloat64(b, mono), "t_wall")
	return text(msgp.AppendFloat64(b, 1), "qualname", name, "args")
}

// testRecord is a call without arguments.
func testRecord(call string, mono float64) []byte {
	return frame(msgp.AppendMapHeader(record(trace.Qualname(call), mono), 0))
}

func testGap(n int) []byte {
	b := text(msgp.AppendMapHeader(record(trace.NameGap, 1), 1), "count")
	return frame(msgp.AppendInt(b, n))
}

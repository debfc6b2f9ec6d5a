package export

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The JSON form of OTLP, as far as the spans here need it. It differs from what
// protojson writes: ids are hexadecimal and enumerations are numbers. 64-bit
// integers are text.
//
// Source: OpenTelemetry protocol specification 1.5.0, "JSON Protobuf Encoding", and
// "OpenTelemetry Protocol File Exporter": one TracesData per line.
type (
	tracesData struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   jsonResource `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	jsonResource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope jsonScope  `json:"scope"`
		Spans []jsonSpan `json:"spans"`
	}
	jsonScope struct {
		Name string `json:"name"`
	}
	jsonSpan struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		Flags      uint32     `json:"flags"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes"`
		Status     jsonStatus `json:"status"`
	}
	jsonStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string    `json:"key"`
		Value jsonValue `json:"value"`
	}
	jsonValue struct {
		String *string  `json:"stringValue,omitempty"`
		Bool   *bool    `json:"boolValue,omitempty"`
		Int    *string  `json:"intValue,omitempty"`
		Double *float64 `json:"doubleValue,omitempty"`
	}
)

// statusError is STATUS_CODE_ERROR.
const statusError = 2

// newTracesData is the document of one span, with what describes the process.
func newTracesData(s sdktrace.ReadOnlySpan) tracesData {
	span := jsonSpan{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Flags: uint32(s.SpanContext().TraceFlags()),
		Name: s.Name(), Kind: int(s.SpanKind()), Start: unixNano(s.StartTime()), End: unixNano(s.EndTime()), Attributes: keyValues(s.Attributes()),
	}
	if p := s.Parent(); p.HasSpanID() {
		span.ParentID = p.SpanID().String()
	}
	if st := s.Status(); st.Code == codes.Error {
		span.Status = jsonStatus{Code: statusError, Message: st.Description}
	}
	return tracesData{[]resourceSpans{{
		Resource:   jsonResource{keyValues(s.Resource().Attributes())},
		ScopeSpans: []scopeSpans{{Scope: jsonScope{s.InstrumentationScope().Name}, Spans: []jsonSpan{span}}},
	}}}
}

func unixNano(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func keyValues(attrs []attribute.KeyValue) []keyValue {
	kvs := make([]keyValue, len(attrs))
	for i, a := range attrs {
		kvs[i] = keyValue{string(a.Key), newValue(a.Value)}
	}
	return kvs
}

func newValue(v attribute.Value) jsonValue {
	switch v.Type() {
	case attribute.BOOL:
		b := v.AsBool()
		return jsonValue{Bool: &b}
	case attribute.INT64:
		i := strconv.FormatInt(v.AsInt64(), 10)
		return jsonValue{Int: &i}
	case attribute.FLOAT64:
		f := v.AsFloat64()
		return jsonValue{Double: &f}
	default: // strings; nothing here has another type
		s := v.String()
		return jsonValue{String: &s}
	}
}

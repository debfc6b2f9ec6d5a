package curve

import (
	"bytes"
	"encoding/csv"
	"strconv"
)

// CSV is the result as a file of comma-separated values with a heading:
// size_bytes,policy,hit_ratio,byte_hit_ratio. An infinite size is inf.
func (r *Result) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"size_bytes", "policy", "hit_ratio", "byte_hit_ratio"}}
	for _, row := range r.Rows {
		size := "inf"
		if row.Bytes != Infinite {
			size = strconv.FormatInt(row.Bytes, 10)
		}
		rows = append(rows, []string{
			size, row.Policy, strconv.FormatFloat(row.HitRatio, 'f', 6, 64), strconv.FormatFloat(row.ByteHitRatio, 'f', 6, 64),
		})
	}
	_ = w.WriteAll(rows) // a buffer takes everything
	return b.Bytes()
}

package kv

import (
	"encoding/json"
	"errors"
	"fmt"
)

// keyObject is the JSON form of a Key. Pointers tell what is missing.
type keyObject struct {
	Hash  *string `json:"chunk_hash_hex"`
	Model *string `json:"model_name"`
	Rank  *uint32 `json:"kv_rank"`
	Group uint16  `json:"object_group_id"`
	Salt  string  `json:"cache_salt"`
}

// MarshalJSON is the JSON key object with all its five members:
//
//	{"chunk_hash_hex":…,"model_name":…,"kv_rank":…,"object_group_id":…,"cache_salt":…}
func (k Key) MarshalJSON() ([]byte, error) {
	hash := k.Hash.String()
	return json.Marshal(keyObject{&hash, &k.Model, &k.Rank, k.Group, k.Salt})
}

// UnmarshalJSON reads the JSON key object. The object group defaults to 0 and
// the salt to ""; the other members must be there, unknown ones are ignored.
// All problems are reported together and leave k as it was; a result is valid.
func (k *Key) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every Unmarshaler
	}
	var o keyObject
	if err := json.Unmarshal(data, &o); err != nil {
		return fmt.Errorf("kv: key object: %w", err)
	}
	p := Key{Group: o.Group, Salt: o.Salt}
	var errs []error
	if o.Hash == nil {
		errs = append(errs, errors.New("kv: key object: chunk_hash_hex is missing"))
	} else {
		var err error
		p.Hash, err = ParseHash(*o.Hash)
		errs = append(errs, err)
	}
	if o.Model == nil {
		errs = append(errs, errors.New("kv: key object: model_name is missing"))
	} else {
		p.Model = *o.Model
	}
	if o.Rank == nil {
		errs = append(errs, errors.New("kv: key object: kv_rank is missing"))
	} else {
		p.Rank = *o.Rank
	}
	if err := errors.Join(append(errs, ValidateModel(p.Model), ValidateSalt(p.Salt))...); err != nil {
		return err
	}
	*k = p
	return nil
}

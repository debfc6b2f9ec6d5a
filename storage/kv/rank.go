package kv

import (
	"errors"
	"fmt"
)

// MaxWorldSize is the largest world size that a packed rank can hold.
const MaxWorldSize = 255

// PackRank packs a rank as Key.Rank holds it:
//
//	world<<24 | global<<16 | localWorld<<8 | local
//
// The world size is 1 to MaxWorldSize, the global rank below it, and the local
// values 0 to 255; all problems are reported together.
func PackRank(world, global, localWorld, local int) (uint32, error) {
	errs := []error{validateWorld(world)}
	if global < 0 || global >= world {
		errs = append(errs, fmt.Errorf("kv: rank %d is not in a world of %d", global, world))
	}
	if localWorld < 0 || localWorld > 255 {
		errs = append(errs, fmt.Errorf("kv: local world size %d is not 0 to 255", localWorld))
	}
	if local < 0 || local > 255 {
		errs = append(errs, fmt.Errorf("kv: local rank %d is not 0 to 255", local))
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return packRank(world, global, localWorld, local), nil
}

func packRank(world, global, localWorld, local int) uint32 {
	return uint32(world)<<24 | uint32(global)<<16 | uint32(localWorld)<<8 | uint32(local)
}

func validateWorld(world int) error {
	if world < 1 || world > MaxWorldSize {
		return fmt.Errorf("kv: world size %d is not 1 to %d", world, MaxWorldSize)
	}
	return nil
}

// RankOf packs a rank whose local values are not known: they are set to the
// global ones, as the expansion of request keys does.
func RankOf(world, rank int) (uint32, error) {
	return PackRank(world, rank, world, rank)
}

// UnpackRank is the inverse of PackRank; it takes any number apart.
func UnpackRank(r uint32) (world, global, localWorld, local int) {
	return int(r >> 24), int(r >> 16 & 0xff), int(r >> 8 & 0xff), int(r & 0xff)
}

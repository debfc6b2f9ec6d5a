package curve

import "fmt"

// CheckSample says what is wrong with a rate of sampling, if anything.
func CheckSample(rate float64) error {
	if rate > 0 && rate <= 1 {
		return nil
	}
	return fmt.Errorf("must be above 0 and at most 1, got %v", rate)
}

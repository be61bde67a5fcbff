package observe

import (
	"reflect"
	"testing"

	"github.com/seed73300619/relay"
)

// A figure that relay.Stats gets anew must not be forgotten when sums are made.
func TestObserve_EveryFigureIsAddedUp(t *testing.T) {
	var one relay.Stats
	figures := reflect.ValueOf(&one).Elem()
	for i := range figures.NumField() {
		switch field := figures.Field(i); {
		case field.Kind() == reflect.Uint8: // State
		case field.CanUint():
			field.SetUint(uint64(i + 1))
		case field.CanInt():
			field.SetInt(int64(i + 1))
		default:
			for j := range field.Len() {
				field.Index(j).SetUint(uint64(100 + j))
			}
		}
	}
	var sum relay.Stats
	addCounters(&sum, one, 3)
	addCounters(&sum, one, ^uint64(0)) // takes away
	addCounters(&sum, one, ^uint64(0))
	addGauges(&sum, one)
	if sum != one {
		t.Errorf("got  %+v\nwant %+v", sum, one)
	}
}

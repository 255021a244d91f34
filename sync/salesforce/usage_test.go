package salesforce

import "testing"

func TestParseUsage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][2]int{
		"api-usage=25/15000":                                      {25, 15000},
		"api-usage=25/15000; api-bursts=1/750":                    {25, 15000},
		"api-usage=25/15000; per-app-api-usage=17/250(appName=x)": {25, 15000},
		"per-app-api-usage=17/250(appName=x); api-usage=25/15000": {25, 15000},
		"per-app-api-usage=17/250(appName=x)":                     {},
		" api-usage=16000/15000 ":                                 {16000, 15000},
		"api-usage=25/15000, api-bursts=1/750":                    {25, 15000},
		"":                                                        {},
		"api-usage=x/y":                                           {},
		"api-usage=25":                                            {},
		"api-usage=1/0":                                           {},
		"api-usage=-1/100":                                        {},
	} {
		used, most, ok := parseUsage(header)
		if [2]int{used, most} != want || ok != (want[1] != 0) {
			t.Errorf("%q: %d/%d, %t, want %v", header, used, most, ok, want)
		}
	}
}

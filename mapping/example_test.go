package mapping_test

import (
	"fmt"
	"time"

	"callpoint/mapping"
)

func ExampleSettings_Resolve() {
	s := mapping.Default()
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	call, err := s.ReadCall(map[string]any{
		"Id": "00T000000000001", "Type": "Call", "WhoId": "00Q000000000001",
		"bizible2__BizibleId__c": "DDE5687119CC4928FBF94393ED9F5C35",
		"CreatedDate":            "2026-11-23T12:25:00.000+0000", "CallDurationInSeconds": 300.0,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result := s.Resolve(mapping.Journey{
		Visitor: call.Visitor,
		Events: []mapping.Event{{
			Kind: mapping.View, Visitor: call.Visitor, At: noon,
			URL: "https://www.example.com/?gclid=EAIa", Referrer: "https://www.google.com/",
		}},
		Calls: []mapping.Call{call},
		Now:   noon.Add(time.Hour), Earliest: noon.AddDate(0, -1, 0),
	})
	fmt.Println(result.Calls[0].Reason)
	for _, tp := range result.Touchpoints {
		fmt.Println(tp.Key, tp.Values["bizible2__Touchpoint_Type__c"], tp.Values["bizible2__Marketing_Channel_Path__c"])
	}
	// Output:
	// matched
	// callpoint_00T000000000001EAA Call Paid Search.AdWords
}

func ExampleParseRules() {
	_, problems, _ := mapping.ParseRules([]byte(`Channel,Sub Channel,Campaign,Medium,Source,Landing Page,Referring Website
Ads,Search,,cpc;ppc,,,
Ads,Bing,,CPC,bing,,
Web,Video,,,,,[YouTub]
`))
	for _, p := range problems {
		fmt.Println(p.Line, p.Cell, p.Warning)
	}
	// Output:
	// 3  true
	// 4 [YouTub] false
}

func ExampleParseFields() {
	fields, err := mapping.ParseFields([]byte(`
		* = -
		bizible2__Touchpoint_Type__c = type
		Gclid__c                     = param.gclid
		Call_Result__c               = {CallDisposition}
	`))
	fmt.Println(fields.Names(), err)
	// Output: [bizible2__Touchpoint_Type__c Gclid__c Call_Result__c] <nil>
}

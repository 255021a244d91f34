package orgsim

import "sync"

// The objects of the Marketo Measure package.
const (
	Touchpoint  = "bizible2__Bizible_Touchpoint__c"
	Person      = "bizible2__Bizible_Person__c"
	Attribution = "bizible2__Bizible_Attribution_Touchpoint__c"
)

func uniqueID() Field {
	return Field{Name: "bizible2__UniqueId__c", Type: "string", Label: "Unique Id", ExternalID: true, Unique: true}
}

func personObject(mu *sync.Mutex) *Object {
	return owned(newObject(mu, Person, "a01",
		Field{Name: "Name", Type: "string", Length: 80, NotNillable: true},
		lookup("bizible2__Lead__c", "Lead"), lookup("bizible2__Contact__c", "Contact"), uniqueID()))
}

func touchpointObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, Touchpoint, "a02",
		Field{Name: "Name", Type: "string", Length: 80, AutoNumber: true, ReadOnly: true, NotNillable: true})
	touchpointFields(obj)
	obj.add(lookup("bizible2__Bizible_Person__c", Person))
	obj.add(lookup("bizible2__Contact__c", "Contact"))
	return owned(obj)
}

func attributionObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, Attribution, "a03",
		Field{Name: "Name", Type: "string", Length: 80, AutoNumber: true, ReadOnly: true, NotNillable: true})
	touchpointFields(obj)
	obj.add(lookup("bizible2__Opportunity__c", "Opportunity"))
	obj.add(lookup("bizible2__Account__c", "Account"))
	obj.add(lookup("bizible2__Contact__c", "Contact"))
	for _, model := range []string{"First_Touch", "Lead_Conversion_Touch", "U_Shaped", "W_Shaped", "Custom_Model"} {
		obj.add(Field{Name: "bizible2__Revenue_" + model + "__c", Type: "currency"})
		obj.add(Field{Name: "bizible2__Attribution_" + model + "__c", Type: "double"})
	}
	return owned(obj)
}

func touchpointFields(obj *Object) {
	obj.add(uniqueID())
	obj.add(Field{Name: "bizible2__Touchpoint_Date__c", Type: "datetime"})
	for _, name := range []string{"Touchpoint_Type", "Medium", "Touchpoint_Source", "Marketing_Channel", "Marketing_Channel_Path",
		"Ad_Campaign_Name", "Ad_Campaign_Id", "Ad_Content", "Ad_Id", "Ad_Group_Id", "Ad_Group_Name", "Ad_Destination_URL",
		"Keyword_Text", "Keyword_Id", "Keyword_MatchType", "Placement_Id", "Placement_Name", "Site_Id", "Site_Name", "Landing_Page", "Referrer_Page", "Form_URL", "Search_Phrase", "Browser", "Platform",
		"Geo_City", "Geo_Region", "Geo_Country", "Touchpoint_Position"} {
		obj.add(Field{Name: "bizible2__" + name + "__c", Type: "string"})
	}
	for _, name := range []string{"Landing_Page_Raw", "Referrer_Page_Raw", "Form_URL_Raw"} {
		obj.add(Field{Name: "bizible2__" + name + "__c", Type: "textarea"})
	}
	obj.add(lookup("bizible2__Case__c", "Case"))
	for _, name := range []string{"Count_First_Touch", "Count_Lead_Creation_Touch", "Count_U_Shaped"} {
		obj.add(Field{Name: "bizible2__" + name + "__c", Type: "double"})
	}
}

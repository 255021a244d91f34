package orgsim

import (
	"fmt"
	"sync"
)

// CallLog is the object to which Invoca's package writes calls.
const CallLog = "INVOCA_FOR_SF__Invoca_Call_Log__c"

// invocaSlots is the number of slots of each kind of marketing data.
const invocaSlots = 10

// invocaObject has the fields that customers' public code reads; Contact and
// the duration are assumptions.
func invocaObject(mu *sync.Mutex) *Object {
	const prefix = "INVOCA_FOR_SF__"
	obj := newObject(mu, CallLog, "a04",
		Field{Name: "Name", Type: "string", Length: 80, NotNillable: true, AutoNumber: true, ReadOnly: true},
		Field{Name: prefix + "transaction_id__c", ExternalID: true, Unique: true},
		lookup(prefix+"Lead__c", "Lead"), lookup(prefix+"Contact__c", "Contact"), lookup(prefix+"Opportunity__c", "Opportunity"),
		Field{Name: prefix + "duration__c", Type: "double", Precision: 18})
	for i := 1; i <= invocaSlots; i++ {
		obj.add(str(fmt.Sprintf("%sCustomer_String_Name_%d__c", prefix, i), 255))
		obj.add(str(fmt.Sprintf("%sCustomer_String_Value_%d__c", prefix, i), 255))
		obj.add(str(fmt.Sprintf("%spool_referrer_param%d_name__c", prefix, i), 255))
		obj.add(str(fmt.Sprintf("%spool_referrer_param%d_value__c", prefix, i), 255))
	}
	return owned(obj)
}

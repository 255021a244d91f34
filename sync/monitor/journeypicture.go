package monitor

import (
	"fmt"
	"time"
)

// A journeyPicture shows the steps of a person in their order, each with its position.
type journeyPicture struct {
	Title         string
	Width, Height int
	Axis          int // y of the line
	Steps         []journeyMark
	More          int // earlier steps that are left out
}

type journeyMark struct {
	Title, Kind, Position, Date string
	X                           float64
	This                        bool // the call of the page
}

// shownSteps is how many steps of a journey the picture has room for.
const shownSteps = 9

// drawJourney returns nil where there is nothing to draw. The steps around the call are
// shown where there are more than fit.
func drawJourney(v CallView, zone *time.Location) *journeyPicture {
	if v.Person == nil || v.Person.TooMany || len(v.Person.Journey) == 0 {
		return nil
	}
	steps := v.Person.Journey
	this := len(steps) - 1
	for i, s := range steps {
		if s.Kind == "call" && s.TaskID == v.TaskID {
			this = i
		}
	}
	first := max(0, min(this-shownSteps/2, len(steps)-shownSteps))
	shown := steps[first:min(len(steps), first+shownSteps)]
	p := &journeyPicture{Width: timelineWidth, Height: 96, Axis: 48, More: len(steps) - len(shown)}
	text := ""
	gap := float64(timelineWidth) / float64(len(shown))
	for i, s := range shown {
		mark := journeyMark{Kind: s.Kind, Position: s.Position, Date: s.At.In(zone).Format("2 Jan 15:04"), X: (float64(i) + 0.5) * gap, This: first+i == this && s.TaskID == v.TaskID}
		mark.Title = fmt.Sprintf("%s of %s", s.Kind, s.At.In(zone).Format("2 Jan 2006 15:04"))
		if s.ChannelPath != "" {
			mark.Title += ", " + s.ChannelPath
		}
		if s.Position != "" {
			mark.Title += ": " + s.Position
		}
		text += "; " + mark.Title
		p.Steps = append(p.Steps, mark)
	}
	p.Title = fmt.Sprintf("The person's journey of %s, by time%s.", plural(len(steps), "step", "steps"), text)
	return p
}

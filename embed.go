package callpoint

import _ "embed"

// ConfigExample is config.example.env, which callpoint init fills in.
//
//go:embed config.example.env
var ConfigExample string

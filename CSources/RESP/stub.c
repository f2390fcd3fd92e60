#include "CCycladesRESP.h"

#include "CCycladesTable.h"

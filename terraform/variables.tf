# ---------------------------------------------------------------- What every deployment sets

variable "project_id" {
  description = "Name of the project; with unique_id it begins the name of every resource."
  type        = string
  default     = "discord-diffusion"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.project_id))
    error_message = "project_id: 3 to 24 lower-case letters, digits and hyphens, starting with a letter (it becomes part of bucket names)."
  }
}

variable "unique_id" {
  description = "Tells deployments of one account apart: prod, staging."
  type        = string
  default     = "prod"

  validation {
    condition     = can(regex("^[a-z0-9]{1,12}$", var.unique_id))
    error_message = "unique_id: 1 to 12 lower-case letters and digits."
  }
}

variable "region" {
  description = "AWS region. Empty: the one of your AWS profile."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: write it like us-east-1, or leave it out to use your AWS profile's."
  }
}

variable "vpc_id" {
  description = "An existing VPC with at least two subnets, in two zones, that are tagged Tier = Public."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]{8,17}$", var.vpc_id))
    error_message = "vpc_id: write the VPC's id, like vpc-0123456789abcdef0 (`aws ec2 describe-vpcs` lists them)."
  }
}

variable "discord_application_id" {
  description = "Application ID, from General Information in Discord's developer portal."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{17,20}$", var.discord_application_id))
    error_message = "discord_application_id: 17 to 20 digits, from General Information in Discord's developer portal."
  }
}

variable "discord_public_key" {
  description = "Public key, from General Information in Discord's developer portal."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-fA-F]{64}$", var.discord_public_key))
    error_message = "discord_public_key: 64 hexadecimal digits, from General Information in Discord's developer portal (not the bot token, not the client secret)."
  }
}

# The secrets are ephemeral: Terraform hands them on and keeps them neither in the plan nor in the state.
# Set them by TF_VAR_discord_bot_secret and so on; after a change raise secrets_version.

variable "discord_bot_secret" {
  description = "The bot's token, from Bot in Discord's developer portal. Set it by TF_VAR_discord_bot_secret."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{50,120}$", var.discord_bot_secret))
    error_message = "discord_bot_secret: the bot's token (50 to 120 letters, digits, dots, hyphens), from Bot in Discord's developer portal."
  }
}

variable "discord_client_secret" {
  description = "OAuth2 client secret, for logging in to the site with Discord. Empty: password logins only."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true
}

variable "django_secret_key" {
  description = "Django's SECRET_KEY: 50 characters by chance. Set it by TF_VAR_django_secret_key=$(openssl rand -base64 48), and keep it: a restored deployment needs the same one."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = length(var.django_secret_key) >= 50
    error_message = "django_secret_key: at least 50 characters, such as `openssl rand -base64 48` makes."
  }
}

variable "huggingface_token" {
  description = "Read token of Hugging Face, for gated models. Empty: public models only. Takes the place of the sample's user name and password, which the hub no longer accepts."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.huggingface_token == "" || can(regex("^hf_[A-Za-z0-9]{20,}$", var.huggingface_token))
    error_message = "huggingface_token: it begins with hf_ (huggingface.co/settings/tokens, role Read)."
  }
}

variable "huggingface_username" {
  description = "The sample's; unused, kept so that its tfvars still plan. Set huggingface_token instead."
  type        = string
  default     = ""
}

variable "huggingface_password" {
  description = "The sample's; unused, kept so that its tfvars still plan. Set huggingface_token instead."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true
}

variable "secrets_version" {
  description = "Raise it when a secret's variable changes: that is what writes the new value."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "secrets_version: a whole number from 1."
  }
}

# ---------------------------------------------------------------- Code and images

variable "lambda_package" {
  description = "The functions' zip, as `./dev package` writes it."
  type        = string
  default     = "../build/lambda.zip"

  validation {
    condition     = fileexists(var.lambda_package)
    error_message = "lambda_package: no such file. Run `./dev package` first; it writes build/lambda.zip."
  }
}

variable "lambda_runtime" {
  description = "The functions' runtime; the package holds bytecode for this version."
  type        = string
  default     = "python3.13"

  validation {
    condition     = can(regex("^python3\\.[0-9]+$", var.lambda_runtime))
    error_message = "lambda_runtime: write it like python3.13."
  }
}

variable "lambda_architecture" {
  description = "The functions' processor: arm64 (cheaper) or x86_64; the package is built for one of them."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda_architecture)
    error_message = "lambda_architecture: arm64 or x86_64."
  }
}

variable "web_image_tag" {
  description = "Tag of the site's image in its repository. Empty until the first push: the service then runs no task."
  type        = string
  default     = ""

  validation {
    condition     = var.web_image_tag != "latest"
    error_message = "web_image_tag: name a version, such as the commit's hash; `latest` cannot be rolled back."
  }
}

variable "worker_image_tag" {
  description = "Tag of the worker's image in its repository. Empty until the first push: no worker is started."
  type        = string
  default     = ""

  validation {
    condition     = var.worker_image_tag != "latest"
    error_message = "worker_image_tag: name a version, such as the commit's hash; `latest` cannot be rolled back."
  }
}

# ---------------------------------------------------------------- Network

variable "private_subnet_ids" {
  description = "Private subnets with a way out (NAT), if the VPC has them: the database and the functions move there and the interface endpoints are not made. Empty: the Tier = Public subnets serve, without public addresses for either."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.private_subnet_ids) != 1 && alltrue([for id in var.private_subnet_ids : can(regex("^subnet-[0-9a-f]{8,17}$", id))])
    error_message = "private_subnet_ids: none, or at least two subnet ids in two zones (RDS needs two)."
  }
}

variable "endpoint_zones" {
  description = "In how many zones the interface endpoints stand. One is cheapest; two outlive the loss of a zone."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.endpoint_zones)
    error_message = "endpoint_zones: 1, 2 or 3."
  }
}

variable "upkeep_runs_in" {
  description = "Where the minute's upkeep runs. It calls Discord, so: web (beside gunicorn, whose task has a public address) or lambda (needs private_subnet_ids with a NAT)."
  type        = string
  default     = "web"

  validation {
    condition     = contains(["web", "lambda"], var.upkeep_runs_in)
    error_message = "upkeep_runs_in: web or lambda."
  }
}

variable "site_gateway" {
  description = "Make the VPC link and the Cloud Map service by which the API reaches the site. Off: nobody reaches it."
  type        = bool
  default     = true
}

variable "domain_name" {
  description = "Your own name for the site, such as sparkle.example.org. Empty: API Gateway's own name, with HTTPS as well."
  type        = string
  default     = ""

  validation {
    condition     = var.domain_name == "" || can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain_name))
    error_message = "domain_name: a name such as sparkle.example.org, without https:// and without a path."
  }
}

variable "domain_certificate_arn" {
  description = "ACM certificate of domain_name, in the same region."
  type        = string
  default     = ""

  validation {
    condition     = (var.domain_name == "") == (var.domain_certificate_arn == "")
    error_message = "domain_certificate_arn: set it exactly when domain_name is set."
  }
}

variable "discord_api_base" {
  description = "Where Discord's REST API is; another address is for tests."
  type        = string
  default     = "https://discord.com/api/v10"
}

# ---------------------------------------------------------------- Workers

variable "worker_instance_types" {
  description = "GPU instance types, the preferred one first. On demand uses the first; spot may use any."
  type        = list(string)
  default     = ["g6.xlarge", "g5.xlarge", "g4dn.xlarge"]

  validation {
    condition     = length(var.worker_instance_types) > 0 && alltrue([for type in var.worker_instance_types : can(regex("^(g4dn|g5|g6|g6e|p4d|p5)\\.", type))])
    error_message = "worker_instance_types: NVIDIA instance types, such as [\"g6.xlarge\", \"g5.xlarge\", \"g4dn.xlarge\"]."
  }
}

variable "check_instance_types" {
  description = "Ask the region at plan whether it offers worker_instance_types. Off only where the API is not there to be asked."
  type        = bool
  default     = true
}

variable "worker_spot" {
  description = "Run workers on spot capacity: about a third of the price, no warm pool, a job may be interrupted (it is tried again)."
  type        = bool
  default     = false
}

variable "worker_warm_pool_size" {
  description = "Stopped instances kept ready, so that a first picture comes in two minutes, not six. Costs their disks only. 0 turns it off."
  type        = number
  default     = 1

  validation {
    condition     = var.worker_warm_pool_size >= 0 && var.worker_warm_pool_size <= var.max_workers
    error_message = "worker_warm_pool_size: from 0 to max_workers."
  }

  validation {
    condition     = !(var.worker_spot && var.worker_warm_pool_size > 0)
    error_message = "worker_warm_pool_size: spot capacity cannot be kept warm. Set it to 0, or worker_spot to false."
  }
}

variable "max_workers" {
  description = "Most GPU workers at once. Check the quota \"Running On-Demand G and VT instances\" (vCPUs) first."
  type        = number
  default     = 8

  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 20 && floor(var.max_workers) == var.max_workers
    error_message = "max_workers: a whole number from 1 to 20."
  }
}

variable "jobs_per_worker" {
  description = "Requests that may be in line for each worker before one more is started (jobs/scaling.py says why so many)."
  type        = number
  default     = 32

  validation {
    condition     = var.jobs_per_worker >= 1 && var.jobs_per_worker <= 1000
    error_message = "jobs_per_worker: 1 to 1000."
  }
}

variable "idle_seconds" {
  description = "For how long there must be too many workers before they are taken away. The last one stays up to ten minutes longer where requests keep coming (jobs/scaling.py)."
  type        = number
  default     = 20

  validation {
    condition     = var.idle_seconds >= 10 && var.idle_seconds <= 3600 && var.idle_seconds % 10 == 0
    error_message = "idle_seconds: 10 to 3600, in tens."
  }
}

variable "worker_cpu" {
  description = "CPU units of a worker's task; leaves some of the instance to the agent."
  type        = number
  default     = 3584
}

variable "worker_memory" {
  description = "Memory of a worker's task in MiB; the smallest instance type's, less 1.5 GiB."
  type        = number
  default     = 14336
}

variable "worker_disk_gib" {
  description = "Root disk of a GPU instance: system, image, weights."
  type        = number
  default     = 60

  validation {
    condition     = var.worker_disk_gib >= 30
    error_message = "worker_disk_gib: at least 30, the size of the GPU machine image."
  }
}

variable "worker_network_mode" {
  description = "Network mode of the worker's task. bridge: the instance's public address is its way out; awsvpc would need a NAT."
  type        = string
  default     = "bridge"

  validation {
    condition     = contains(["bridge", "host", "awsvpc"], var.worker_network_mode)
    error_message = "worker_network_mode: bridge, host or awsvpc."
  }
}

variable "worker_ami_parameter" {
  description = "SSM parameter with the id of the ECS GPU machine image."
  type        = string
  default     = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
}

variable "model_id" {
  description = "The pipeline that workers load: a Hugging Face id or a folder of the image."
  type        = string
  default     = "stable-diffusion-v1-5/stable-diffusion-v1-5"

  validation {
    condition     = length(var.model_id) > 0
    error_message = "model_id: a Hugging Face id, such as stable-diffusion-v1-5/stable-diffusion-v1-5, or a folder."
  }
}

variable "worker_compile" {
  description = "Whether workers compile the model beside their work (torch.compile); pictures never wait for it."
  type        = bool
  default     = false
}

# ---------------------------------------------------------------- Site

variable "web_tasks" {
  description = "Tasks of the Django site."
  type        = number
  default     = 1

  validation {
    condition     = var.web_tasks >= 1 && var.web_tasks <= 10
    error_message = "web_tasks: 1 to 10."
  }
}

variable "web_cpu" {
  description = "CPU units of a site task."
  type        = number
  default     = 256
}

variable "web_memory" {
  description = "Memory of a site task in MiB."
  type        = number
  default     = 1024
}

variable "web_architecture" {
  description = "Processor of the site's image: X86_64 or ARM64 (a fifth cheaper)."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.web_architecture)
    error_message = "web_architecture: X86_64 or ARM64."
  }
}

# ---------------------------------------------------------------- Functions

variable "snapstart" {
  description = "Start the interactions function from a snapshot, with Django loaded."
  type        = bool
  default     = true
}

variable "lambda_memory" {
  description = "Memory of the interactions function in MiB; CPU comes in proportion (1,769 is one core)."
  type        = number
  default     = 1024
}

variable "interactions_concurrency" {
  description = "Most interactions handled at once; each holds one database connection. -1: the account's limit."
  type        = number
  default     = 40

  validation {
    condition     = var.interactions_concurrency == -1 || var.interactions_concurrency >= 5
    error_message = "interactions_concurrency: at least 5, or -1 for no limit of its own."
  }
}

variable "api_rate_limit" {
  description = "Requests a second that the API takes in the long run."
  type        = number
  default     = 100
}

variable "api_burst_limit" {
  description = "Requests that the API takes at once."
  type        = number
  default     = 200
}

# ---------------------------------------------------------------- Data

variable "database_instance_class" {
  description = "RDS instance class."
  type        = string
  default     = "db.t4g.micro"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.database_instance_class))
    error_message = "database_instance_class: write it like db.t4g.micro."
  }
}

variable "database_storage_gib" {
  description = "Disk of the database; grows by itself to five times this."
  type        = number
  default     = 20

  validation {
    condition     = var.database_storage_gib >= 20
    error_message = "database_storage_gib: at least 20, the least that RDS sells as gp3."
  }
}

variable "database_multi_az" {
  description = "Keep a standby of the database in a second zone (twice the price)."
  type        = bool
  default     = false
}

variable "database_backup_days" {
  description = "How long automatic backups are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.database_backup_days >= 1 && var.database_backup_days <= 35
    error_message = "database_backup_days: 1 to 35; without backups a mistake is for ever."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the database, and the buckets while they hold pictures. Turn it off, apply, then destroy."
  type        = bool
  default     = true
}

variable "image_retention_days" {
  description = "Pictures are deleted after this many days at the latest; a server may ask for less (its own retention)."
  type        = number
  default     = 365

  validation {
    condition     = var.image_retention_days >= 1
    error_message = "image_retention_days: at least 1."
  }
}

# ---------------------------------------------------------------- Watching

variable "alarm_email" {
  description = "Who hears of alarms and of the budget. Empty: nobody by mail; the topic's ARN is an output."
  type        = string
  default     = ""

  validation {
    condition     = var.alarm_email == "" || can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email: a mail address."
  }
}

variable "monthly_budget_usd" {
  description = "Warn at 80 % and 100 % of this many US dollars a month, and when the forecast passes it."
  type        = number
  default     = 100

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd: more than 0."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days: one that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "otlp_endpoint" {
  description = "A collector that takes OpenTelemetry's traces over HTTP (OTLP), as the functions and workers reach it from within the VPC."
  type        = string
  default     = ""

  validation {
    condition     = var.otlp_endpoint == "" || can(regex("^https?://[^/]+", var.otlp_endpoint))
    error_message = "otlp_endpoint: write it like http://10.0.1.7:4318, or leave it out."
  }
}

variable "database_url" {
  description = "Where everything connects, if not straight to the instance by IAM login: an RDS Proxy, PgBouncer or another PostgreSQL, as postgres://user:password@host:5432/name."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.database_url == "" || can(regex("^postgres(ql)?://", var.database_url))
    error_message = "database_url: write it like postgres://user:password@host:5432/name, or leave it out."
  }
}
